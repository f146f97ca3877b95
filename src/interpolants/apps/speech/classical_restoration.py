"""Classical restoration of speech, without training: subtraction of a noise floor, and prediction of late echoes."""

from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Interval
from torch import Tensor

from interpolants.apps.speech.compressed_spectra import CompressedSpectra
from interpolants.apps.speech.recordings import Heard, Recording
from interpolants.foundations.extras import require
from interpolants.foundations.kinds import Count, Positive, Share
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run

_OBSERVED = Role(name="observed", kind="recordings", axis="recording", like="clean")


class _Spectral(Method):
    """Methods that change the spectrum of each channel by a rule; abstract."""

    noun: ClassVar[str] = "rule"
    only_cpu: ClassVar[str] = "recordings stay where they were read"

    rate: Annotated[int, Ge(1000)] = 8000
    """Samples per second of arrays, which have no rate of their own."""
    window: Annotated[float, Interval(gt=0.002, le=1)] = 0.032
    """Seconds of a window."""

    def roles(self) -> tuple[Role, ...]:
        """Clean recordings, of which nothing is learnt."""
        return (Role(name="clean", kind="recordings", axis="recording"),)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Nothing."""
        return {"rule": type(self).__name__}

    def changed(self, c: Tensor) -> Tensor:
        """The spectrum ``(2, F, N)``, changed."""
        raise NotImplementedError

    def _heard(self, observed: list[Recording]) -> Heard:
        found = []
        for one in observed:
            n_fft = 2 * round(self.window * (one.rate or self.rate) / 2)
            spectra = CompressedSpectra(n_fft=n_fft, hop=n_fft // 4, exponent=1.0, scale=1.0)
            channels = [spectra.samples(self.changed(spectra.of(x)), len(x)) for x in one.channels]
            found.append(one.with_samples(torch.stack(channels)))
        return Heard(found)


class SpectralSubtraction(_Spectral):
    """``|x|^2 = max(|y|^2 - over N, floor^2 |y|^2)``, with the phase of y.

    The noise floor N comes from a low quantile of each bin: the power of Gaussian noise there is exponential, and its
    q-quantile over ``-log(1 - q)`` is its mean.

    Source: Boll (1979), IEEE Trans. ASSP 27, 113-120; the floor from quantiles after Stahl et al. (2000), ICASSP.
    """

    quantile: Annotated[float, Interval(gt=0, lt=1)] = 0.3
    """q: less than the share of frames without speech."""
    over: Positive = 2.0
    """Share of the noise that is taken away; more than one against musical tones."""
    floor: Share = 0.1
    """Least gain."""

    @capability(reads={"observed": _OBSERVED}, like="observed")
    def restore(self, observed: Any) -> Any:
        """Recordings less their noise floor, at their rate and length.

        Args:
            observed: Recordings: a file, a folder, arrays ``(T,)``, ``Recording``, or a list of these.
        """
        return self._heard(observed)

    def changed(self, c: Tensor) -> Tensor:
        """See the class."""
        power = c.square().sum(0)
        q = torch.tensor(self.quantile, dtype=power.dtype)
        noise = power.quantile(q, dim=1, keepdim=True) / -torch.log1p(-q)
        gain = (1 - self.over * noise / power.clamp_min(1e-20)).clamp_min(self.floor**2).sqrt()
        return c * gain


class DelayedPrediction(_Spectral):
    """Weighted prediction error: what of a bin is predicted by its past, some frames back, is late reverberation.

    ``x_n = y_n - sum_k g_k y_(n - delay - k)`` with the g of weighted least squares; weights are the power of x of the
    round before, at least 1e-10 of the largest of the bin. Computed by the package nara_wpe.

    Source: Nakatani et al. (2010), IEEE Trans. ASLP 18, 1717-1731.
    """

    window = 0.064
    taps: Count = 10
    """Number of past frames."""
    delay: Count = 3
    """Frames back of the latest one: early echoes and the speech itself are left alone."""
    rounds: Count = 3
    """Rounds of weights."""

    @capability(reads={"observed": _OBSERVED}, like="observed")
    def restore(self, observed: Any) -> Any:
        """Recordings less their late reverberation, at their rate and length.

        Args:
            observed: Recordings: a file, a folder, arrays ``(T,)``, ``Recording``, or a list of these.
        """
        return self._heard(observed)

    def changed(self, c: Tensor) -> Tensor:
        """See the class."""
        wpe = require("nara_wpe.wpe", by="DelayedPrediction")
        y = torch.view_as_complex(c.movedim(0, -1).double().contiguous())
        prediction_error = wpe.wpe_v8(y.numpy()[:, None], self.taps, self.delay, self.rounds)  # (F, 1, N)
        return torch.view_as_real(torch.from_numpy(prediction_error[:, 0].copy())).movedim(-1, 0).to(c)
