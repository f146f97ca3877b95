"""Exact Gaussian process regression over one coordinate, with a kernel whose frequencies are learnt from the values."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from torch import Generator, Tensor

from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Count, OneOf
from interpolants.framework.answers import JointRows, Predictive
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.kernels.spectral_mixture import ENVELOPES, Peaks, SpectralMixture, cholesky, nyquist

LARGEST = 5000
# Most frequencies of the periodogram; first lengthscales as shares of the span: of waves, and of what has no frequency.
_FREQUENCIES, _WAVE, _SLOW = 20_000, 1.0, 0.05
_FIRST_NOISE, _LEAST = 0.1, 1e-8
FREQUENCIES = Role(name="frequencies", exact=True, about="File with one column of frequencies.")


class SpectralGP(Method):
    """``y = f(x) + noise``, f a Gaussian process whose spectrum is a mixture of peaks.

    Peaks begin at the highest local maxima of the periodogram, one at frequency 0; their weights, frequencies and
    lengthscales, and the noise, maximise the marginal likelihood. Waves go on beyond the data as long as peaks are
    narrow. Several columns of values share the kernel.

    Raises:
        InvalidInputError: If a setting does not fit, points have more than one column, or there are more than 5,000.

    Source: Wilson & Adams (2013), arXiv:1302.4245; Student's t peaks after Fang et al. (2024), arXiv:2311.04465.
    """

    noun: ClassVar[str] = "Gaussian process"
    only_cpu: ClassVar[str] = "its covariance is factored in float64"

    components: Count = 10
    """Number Q of peaks."""
    envelope: Annotated[str, OneOf(lambda: ENVELOPES)] = "student_t"
    """Shape of the peaks."""
    steps: Count = 60
    """Most steps of L-BFGS."""

    def roles(self) -> tuple[Role, ...]:
        """Points, one column, and their values."""
        return Role(name="points", exact=True, words=True), Role(name="values", exact=True)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Periodogram, hyperparameters, one Cholesky factor."""
        x, values = _checked(data["points"], data["values"], self.given["points"].forms)
        centre, scale = values.mean(0), values.std(0)
        scale = torch.where(scale > 0, scale, 1.0)
        y, kernel = (values - centre) / scale, SpectralMixture(self.envelope)

        def search(source: Generator) -> dict[str, Tensor]:
            first = first_peaks(x, y, self.components)
            return _maximised(x, y, kernel, first, self.steps)

        found = run.once("hyperparameters", search)
        peaks = Peaks(found["log_weight"], found["frequency"], found["log_lengthscale"])
        factor = _factor(x, kernel, peaks, found["log_noise"]).contiguous()
        alpha = torch.cholesky_solve(y, factor).contiguous()
        solved = {"x": x, "factor": factor, "alpha": alpha, "centre": centre, "scale": scale}
        return {**solved, "peaks": peaks, "log_noise": found["log_noise"]}

    def columns(self, name: str) -> tuple[str, ...]:
        """Names of columns of tables; a density has one."""
        return ("density",) if name == "density" else super().columns(name)

    @property
    def peaks(self) -> Peaks:
        """Peaks of the kernel, for values of variance 1."""
        found: Peaks = self.fitted_state("peaks")["peaks"]
        return found

    @capability(reads={"x": "points"}, like="values", blocks=True)
    def predict(self, x: Tensor, *, noise: bool = True, joint: bool = False) -> Predictive:
        """Gaussian of the value at each point.

        Args:
            x: Points, ``(B, 1)``.
            noise: Of a measurement, with its noise; else of the function itself.
            joint: One distribution of all points together, with its covariance, instead of one for each.
        """
        state, kernel = self.state, SpectralMixture(self.envelope)
        across = kernel.covariance(x[:, :1] - state["x"], state["peaks"])
        seen = torch.linalg.solve_triangular(state["factor"], across.T, upper=False)
        variance = (state["peaks"].variance - seen.square().sum(0)).clamp_min(_LEAST**2)
        variance = variance + state["log_noise"].exp() if noise else variance
        loc = state["centre"] + state["scale"] * (across @ state["alpha"])
        together = None
        if joint:
            prior = kernel.covariance(x[:, :1] - x[:, 0], state["peaks"])
            together = JointRows.of((prior - seen.T @ seen)[None], variance[None])
        scale = (state["scale"] * variance.sqrt()[:, None])[None]
        return Predictive(loc=loc[None], scale=scale, joint=together)

    @capability(reads={"frequencies": FREQUENCIES}, like="density", blocks=True)
    def spectrum(self, frequencies: Tensor) -> Tensor:
        """Power spectral density of the kernel, for values of variance 1, ``(N, 1)``.

        Args:
            frequencies: In cycles per unit of the coordinate, ``(N, 1)``.
        """
        return SpectralMixture(self.envelope).density(frequencies[:, :1], self.state["peaks"])


def _checked(points: Tensor, values: Tensor, forms: Any) -> tuple[Tensor, Tensor]:
    """The coordinate ``(N,)`` and values, sorted."""
    if points.ndim != 2 or points.shape[1] != 1 or values.ndim != 2 or len(points) < 4:
        shapes = f"points {tuple(points.shape)}, values {tuple(values.shape)}"
        rule = "points must have shape (N, 1), values (N,) or (N, C), N >= 4"
        raise invalid("SpectralGP.fit", rule, shapes)
    if any(isinstance(form, tuple) for form in forms or ()):
        raise invalid("SpectralGP.fit", "points must be numbers or dates", "words")
    if len(points) > LARGEST:
        got = f"{len(points)}, whose matrices take {4 * 8 * len(points) ** 2 / 2**30:.1f} GiB"
        raise invalid(
            "SpectralGP.fit",
            f"the data must have at most {LARGEST} entries",
            got,
            "Use a subset of the entries.",
        )
    x, order = points[:, 0].sort(stable=True)
    if not float(x[-1] - x[0]) > 0:
        raise invalid("SpectralGP.fit", "points must differ", "one place")
    return x.contiguous(), values[order].contiguous()


def periodogram(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Frequencies ``(F,)`` at half the spacing of the Fourier ones, and the power of values ``y (N, C)`` there.

    Of places of any spacing; up to the highest frequency that their mean gap tells apart.
    """
    span = float(x[-1] - x[0])
    limit = nyquist(torch.unique(x))
    count = min(int(2 * span * limit), _FREQUENCIES)
    f = torch.arange(1, count + 1, dtype=torch.float64) * limit / count
    power = torch.zeros_like(f)
    for part in torch.split(torch.arange(count), 256):
        phase = 2 * math.pi * f[part, None] * (x - x[0])
        power[part] = ((phase.cos() @ y).square() + (phase.sin() @ y).square()).sum(1)
    return f, power


def first_peaks(x: Tensor, y: Tensor, count: int) -> Peaks:
    """A slow component, and the highest local maxima of the periodogram."""
    f, power = periodogram(x, y)
    padded = torch.cat([power.new_zeros(1), power, power.new_zeros(1)])
    highest = torch.nonzero((power >= padded[:-2]) & (power > padded[2:]))[:, 0]
    kept = highest[power[highest].argsort(descending=True)[: count - 1]]
    weight = torch.cat([power[kept].mean().reshape(1) if len(kept) else power.new_ones(1), power[kept]])
    scale = torch.full((len(weight),), _WAVE, dtype=torch.float64)
    scale[0] = _SLOW
    frequency = torch.cat([f.new_zeros(1), f[kept]])
    span = float(x[-1] - x[0])
    return Peaks((weight / weight.sum()).clamp_min(1e-6).log(), frequency, (scale * span).log())


def _factor(x: Tensor, kernel: SpectralMixture, peaks: Peaks, log_noise: Tensor) -> Tensor:
    """Cholesky factor of the covariance of noisy values."""
    noise = (log_noise.exp() + _LEAST) * torch.eye(len(x), dtype=x.dtype)
    return cholesky(kernel.gram(x, peaks) + noise, "SpectralGP", "the covariance of the values")


def evidence(x: Tensor, y: Tensor, kernel: SpectralMixture, peaks: Peaks, log_noise: Tensor) -> Tensor:
    """Log marginal likelihood of values ``y (N, C)``, in nats."""
    factor = _factor(x, kernel, peaks, log_noise)
    white = torch.linalg.solve_triangular(factor, y, upper=False)
    scaling = factor.diagonal().log().sum() + 0.5 * len(y) * math.log(2 * math.pi)
    log: Tensor = -0.5 * white.square().sum() - y.shape[1] * scaling
    return log


def _maximised(x: Tensor, y: Tensor, kernel: SpectralMixture, first: Peaks, steps: int) -> dict[str, Tensor]:
    """Peaks and noise of the greatest marginal likelihood, by L-BFGS; frequencies in cycles per span."""
    span = x[-1] - x[0]
    found = {
        "log_weight": first.log_weight.clone(),
        "cycles": first.frequency * span,
        "log_lengthscale": first.log_lengthscale.clone(),
        "log_noise": torch.tensor(2 * math.log(_FIRST_NOISE), dtype=torch.float64),
    }
    for value in found.values():
        value.requires_grad_(True)
    search = torch.optim.LBFGS([*found.values()], max_iter=steps, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        peaks = Peaks(found["log_weight"], found["cycles"] / span, found["log_lengthscale"])
        value = -evidence(x, y, kernel, peaks, found["log_noise"]) / y.numel()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        search.step(loss)  # type: ignore[no-untyped-call]
    return _plain(found, span)


def _plain(found: Mapping[str, Tensor], span: Tensor) -> dict[str, Tensor]:
    done = {name: value.detach() for name, value in found.items()}
    done["frequency"] = (done.pop("cycles") / span).abs()  # the kernel does not know their signs
    return done
