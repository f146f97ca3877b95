"""Speech enhancement: draw clean speech given a degraded recording, by a diffusion of their difference.

Letters: F bins, N frames, y the degraded spectrum, ``r = x - y`` the difference of the clean one from it.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from annotated_types import Ge, Interval
from torch import Tensor, nn

from interpolants.apps.speech.compressed_spectra import CompressedSpectra
from interpolants.apps.speech.crops import Crops
from interpolants.apps.speech.long_recordings import joined, pieces
from interpolants.apps.speech.recordings import Heard, Recording, at_rate, channels_of, check_heard, is_silent
from interpolants.apps.speech.units import Unit, unit_of, warn_of_size
from interpolants.apps.speech.unusual_recordings import offset_of, warn_of_unusual
from interpolants.dynamics.correctors import Langevin
from interpolants.dynamics.noise import ReverseNoise
from interpolants.dynamics.sample import sample
from interpolants.fields.preconditioned import check_preconditioned
from interpolants.foundations.asked import invalid, who
from interpolants.foundations.inner_nets import with_inner_net
from interpolants.foundations.kinds import Answer, Check, Count, Positive, Whole
from interpolants.foundations.randomness import BlockNoise, key
from interpolants.foundations.tell import OutsideWarning, tell
from interpolants.framework.capabilities import capability
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.methods.parts.choices import choose_path, member
from interpolants.methods.parts.conditional_flow import ConditionalFlow
from interpolants.nets.build import named_net
from interpolants.nets.scaled_condition import ScaledCondition
from interpolants.nets.unet import UNet
from interpolants.objectives.times import TimeSampler
from interpolants.training.losses import Loss

# A network of an eighth of a million weights, which learns on a CPU; that of the paper has 65 million.
_SMALL = {"kind": "unet", "channels": 8, "multipliers": (1, 2, 4), "blocks": 1, "attention": ()}


def _degradation(who: str, value: Any) -> Any:
    return member(who, "degradation", value) if isinstance(value, str | Mapping) else value


def _one_sided(who: str, value: Any) -> Any:
    """A path that a network can be preconditioned on."""
    auto = isinstance(value, str) and value == "auto"
    path = choose_path(who, {"kind": "ouve", "channels": 2} if auto else value)
    check_preconditioned(path, ())
    return path


class SpeechEnhancement(Trained):
    """Learn to draw clean speech from noisy or reverberant recordings of any length.

    ::

        model = SpeechEnhancement().fit(clean)                       # clean recordings: noise is added while training
        model = SpeechEnhancement().fit(clean, degraded)             # or pairs
        heard = model.restore("in.wav")                              # at the rate of the file

    The state is ``r = x - y`` in compressed spectra, on a one-sided path that begins near ``r = 0``: the process of the
    paper drifts from the clean to the degraded spectrum, and is that path plus y. Sampling alternates a Langevin step
    with a step of the reversed SDE. A file is restored by itself, at its own length: what it gets depends on no other
    file, and on no padding. Long recordings are restored in pieces that overlap and are blended.

    Raises:
        InvalidInputError: If a setting is out of range, or the path has no Gaussian base.

    Source: Richter et al. (2023), arXiv:2208.05830. Ours: the path of the difference, the preconditioning, any path,
    files of any length by themselves.
    """

    only_cpu: ClassVar[str] = "recordings stay where they were read"
    noun: ClassVar[str] = "speech model"

    rate: Annotated[int, Ge(1000)] = 8000
    """Samples per second of the model; recordings at other rates are resampled, and their answers back."""
    degradation: Annotated[Any, Check(_degradation, "name | table")] = "additive_noise"
    """What is done to clean recordings that come without degraded ones: ``"additive_noise"``, ``"reverberation"``, or a
    table with settings."""
    spectra: Mapping[str, Any] | None = None
    """Settings of :class:`~interpolants.apps.speech.compressed_spectra.CompressedSpectra`."""
    frames: Annotated[int, Ge(8)] = 64
    """Frames of a crop in training."""
    path: Annotated[Any, Check(_one_sided, "name | table | object")] = "auto"
    """A one-sided path with a Gaussian base: a name, a table or a ``Path``; ``"auto"`` is the paper's."""
    least: Annotated[float, Interval(gt=0, lt=1)] = 0.03
    """Time left to the clean end where learning stops, as a share of the whole: where sigma vanishes nothing is to be
    learnt."""
    net: Any = "auto"
    """A network for images ``(2, F, N)`` of any width N with a field as condition: a name, a table or a U-Net;
    ``"auto"`` is small."""
    learns: Literal["clean", "noise", "mean"] = "clean"
    """``"clean"``: the difference r, by a network with inputs and outputs of unit size at all noise levels;
    ``"noise"``: the noise, as is; ``"mean"``: the mean of r given y, by a regressor of the same size without a
    diffusion. A regressor takes no noise in training and one evaluation of the network to answer."""
    normalise: Unit = "peak"
    """Unit of a recording: its ``"peak"``, as in the paper; its ``"level"``, which no single sample moves;
    ``"none"``."""
    draws: Answer[Count] = 1
    """Draws whose mean is the answer: one, as in the paper, sounds like speech; the mean of more errs less."""
    n_steps: Answer[Annotated[int, Ge(2)]] = 30
    """Steps of the sampler."""
    snr: Answer[Positive] = 0.5
    """Size of a Langevin step."""
    corrections: Answer[Whole] = 1
    """Langevin steps before each step."""
    predictor: Answer[Literal["euler_maruyama", "reverse_diffusion", "ancestral", "reverse_flow"]] = (
        "euler_maruyama"
    )
    """``"euler_maruyama"``, the paper's, or a name of ``dynamics.transitions``."""
    longest: Answer[Annotated[float, Ge(1)]] = 20.0
    """Seconds of the pieces of a long recording."""
    steps = 4000
    batch_size = 8
    lr = 2e-3

    def check_settings(self) -> None:
        """Make the spectra and the flow."""
        self.transform = CompressedSpectra(**(self.spectra or {}))
        head = "noise" if self.learns == "noise" else "denoised"
        self.flow = ConditionalFlow(
            who=who(), path=self.path, head=head, wrapped=("denoised",), latest=1 - self.least
        )

    def roles(self) -> tuple[Role, ...]:
        """Clean recordings, and degraded ones if there are pairs."""
        about = "clean recordings: files, arrays, or a folder"
        return (
            Role(name="clean", kind="recordings", axis="recording", about=about),
            Role(name="degraded", kind="recordings", axis="recording", optional=True),
        )

    def fit(self, clean: Any = None, degraded: Any = None, **options: Any) -> Self:
        """Learn from clean recordings, or from pairs.

        Args:
            clean: Recordings: a folder, files, arrays ``(T,)`` at the model's rate, ``Recording``, or a list of these.
            degraded: What became of each, at the same rate and as long; if left out, ``degradation`` makes them.
            options: As in :meth:`interpolants.framework.method.Method.fit`.
        """
        return super().fit(clean, degraded, **options)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Mean difference or noise at each noise level, or the mean without noise, by one gradient loop over crops."""
        for one in data["clean"]:
            check_heard(who(), one)
        if "degraded" in data:
            _check_pairs(data["clean"], data["degraded"])
        crops = Crops(
            channels_of(data["clean"], self.rate),
            channels_of(data["degraded"], self.rate) if "degraded" in data else None,
            degradation=self.degradation,
            spectra=self.transform,
            rate=self.rate,
            frames=self.frames,
            normalise=self.normalise,
        )
        of_difference, of_degraded = crops.sizes(self.seed)
        if self.learns != "mean":
            warn_of_size(who(), of_difference, check_preconditioned(self.path, ())[1])
        asked = _SMALL if isinstance(self.net, str) and self.net == "auto" else self.net
        if not isinstance(asked, nn.Module):
            asked = {**({"kind": asked} if isinstance(asked, str) else asked), "cond_channels": 2}
        shape = (2, self.transform.bins, self.frames)
        inner = named_net(asked, shape, who=who(), seed=self.seed).float()
        if not isinstance(inner, UNet):
            remedy = "Use a U-Net, whose width follows the recording."
            raise invalid("net must take images of any width", type(inner).__name__, remedy)
        told = ScaledCondition(inner, (0.0, 0.0), (of_degraded, of_degraded))
        net = self.flow.wrap(told, of_difference)
        loss = partial(self._loss, net)
        return {"net": self.flow.learnt(run, "spectra", net, crops.rows, self.training(), loss=loss)}

    def _loss(self, net: nn.Module, times: TimeSampler) -> Loss:
        """The error of a regressor, without a state; or the loss of the flow."""
        return _regression if self.learns == "mean" else self.flow.loss(net, times)

    # --- capabilities

    @capability(
        reads={"observed": Role(name="observed", kind="recordings", axis="recording", like="clean")},
        like="observed",
    )
    def restore(self, /, observed: Any, *, seed: int = 0, **settings: Any) -> Any:
        """Clean recordings that may lie behind degraded ones, one for each, at its rate and length.

        Args:
            observed: Recordings: a file, a folder, arrays ``(T,)`` at the model's rate, ``Recording``, or a list.
            seed: Seed of starts and noise; a recording's answer depends on it and the recording alone.
            settings: Settings of answers, for this call.

        Raises:
            InvalidInputError: If a recording is shorter than a window, or a setting is out of range.
            DivergedError: If a sample became NaN or infinite.
        """
        self._check_lengths(observed)  # before work that a late refusal would lose
        self._warn_of_bands(observed)
        warn_of_unusual(who(), observed, self.rate, self.normalise)
        found = []
        for one in observed:
            rate = one.rate or self.rate
            channels = [
                self._of_channel(y, rate, key(seed, "channel", k)) for k, y in enumerate(one.channels)
            ]
            found.append(one.with_samples(torch.stack(channels)))
        return Heard(found)

    def _warn_of_bands(self, observed: Sequence[Recording]) -> None:
        """Tell of what a lower rate of the model leaves out."""
        rates = sorted({one.rate for one in observed if one.rate > self.rate})
        if rates:
            told = f"a model of {self.rate} samples a second loses sound above {self.rate / 2:g} Hz"
            tell(OutsideWarning, f"{who()}: {told}; recordings have {rates[-1]}. Fit with rate={rates[-1]}.")

    def _check_lengths(self, observed: Sequence[Recording]) -> None:
        """Refuse recordings that are shorter than a window."""
        least = self.transform.n_fft / self.rate
        for one in observed:
            if len(one) < least * (one.rate or self.rate):
                rule = f"{one.told} must last {1000 * least:.3g} ms, a window of the spectrum"
                lasts = f"{1000 * len(one) / (one.rate or self.rate):.3g} ms"
                raise invalid(rule, lasts, "Leave it out.")

    def _of_channel(self, y: Tensor, rate: int, seed: int) -> Tensor:
        """Clean samples ``(T,)`` for degraded ones at any rate: the model's rate, and back; silence stays."""
        if is_silent(y):
            return y
        y = y - offset_of(y, rate)
        own = at_rate(y, rate, self.rate)
        unit = unit_of(own, self.normalise)
        spectrum = self.transform.of(own / unit)
        count = 1 if self.learns == "mean" else self.draws
        drawn = [self._drawn(spectrum, key(seed, "draw", k)) for k in range(count)]
        clean = torch.stack([self.transform.samples(x, len(own)) for x in drawn]).mean(0) * unit
        back = at_rate(clean, self.rate, rate)[: len(y)]
        return torch.nn.functional.pad(back, (0, len(y) - len(back)))

    def _drawn(self, spectrum: Tensor, seed: int) -> Tensor:
        """A clean spectrum for a degraded one, ``(2, F, N)``, piece by piece."""
        most = max(2 * self.frames, round(self.longest * self.rate / self.transform.hop))
        parts = [
            self._difference(part, key(seed, "piece", k) >> 32)
            for k, part in enumerate(pieces(spectrum, most, self.frames))
        ]
        return spectrum + joined(parts, spectrum.shape[-1], self.frames)

    def _difference(self, y: Tensor, seed: int) -> Tensor:
        """A difference ``(2, F, N)`` for a degraded spectrum."""

        def as_wide(inner: nn.Module) -> nn.Module:
            assert isinstance(inner, UNet)
            return inner.on_grid(y.shape[1], y.shape[2])

        net = with_inner_net(self.state["net"], as_wide)
        if self.learns == "mean":
            with torch.no_grad():
                found: Tensor = net(torch.zeros_like(y)[None], torch.zeros(()), y[None])[0]
            return found
        base: Any = self.path.base
        start = base.color(BlockNoise.like(y[None], seed, "first spectrum").normal())
        steps = self.corrections
        corrector = Langevin(snr=self.snr, steps=steps, before=True) if steps else None
        # The last step is as long as what is left.
        even = torch.linspace(0, 1 - self.least, self.n_steps, dtype=torch.float64)
        euler = self.predictor == "euler_maruyama"
        noise: dict[str, Any] = {"eps": ReverseNoise(), "cap_noise": False} if euler else {}
        return sample(
            self.flow.fields(net),
            start,
            cond=y[None],
            method=self.predictor,
            time_grid=torch.cat([even, torch.ones(1, dtype=torch.float64)]),
            corrector=corrector,
            finish="mean",
            seed=seed,
            invariant=False,
            **noise,
        ).x[0]


def _regression(net: Any, batch: Mapping[str, Any], generator: torch.Generator) -> dict[str, Tensor]:
    """Squared error of the difference without a state, in the units of the network."""
    zero, start = torch.zeros_like(batch["x1"]), torch.zeros(len(batch["x1"]))
    gap = net(zero, start, batch["cond"]) - batch["x1"]
    weight = net.net.weight(zero, start)["denoised"]
    return {"denoised": gap.square().flatten(1).sum(1) * weight}


def _check_pairs(clean: list[Recording], degraded: list[Recording]) -> None:
    """Refuse pairs of different rates, lengths or numbers of channels."""
    names = [[one.name for one in part] for part in (clean, degraded)]
    for row, (one, other) in enumerate(zip(*names, strict=True)):
        if one and one != other and one in names[1] and names[1].count(one) == 1:
            remedy = "Leave out what has no partner, and give both in one order."
            rule = f"degraded recordings must be in the order of the clean ones, {one} in place {row}"
            raise invalid(rule, other, remedy)
    for x, y in zip(clean, degraded, strict=True):
        if x.rate != y.rate:
            remedy = "Bring both to one rate first."
            raise invalid(
                f"{x.told} and its degraded one must have one rate", f"{x.rate} and {y.rate}", remedy
            )
        if x.channels.shape != y.channels.shape:
            shapes = f"{tuple(x.channels.shape)} and {tuple(y.channels.shape)}"
            raise invalid(f"{x.told} and its degraded one must be as long", shapes, "Cut both to one length.")
        check_heard(who(), y)
