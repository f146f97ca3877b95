"""Speech enhancement: draw clean speech given a degraded recording, by a diffusion of their difference.

Letters: F bins, N frames, y the degraded spectrum, ``r = x - y`` the difference of the clean one from it.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from interpolants.apps.speech.compressed_spectra import CompressedSpectra
from interpolants.apps.speech.crops import Crops
from interpolants.apps.speech.long_recordings import joined, pieces
from interpolants.apps.speech.recordings import Heard, Recording, at_rate, channels_of, check_heard, is_silent
from interpolants.apps.speech.units import UNITS, unit_of, warn_of_size
from interpolants.apps.speech.unusual_recordings import offset_of, warn_of_unusual
from interpolants.dynamics.correctors import Langevin
from interpolants.dynamics.noise import ReverseNoise
from interpolants.dynamics.sample import sample
from interpolants.fields.preconditioned import check_preconditioned
from interpolants.foundations.checks import number, one_of, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.inner_nets import with_inner_net
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

LEARNS = ("clean", "noise", "mean")
PREDICTORS = ("euler_maruyama", "reverse_diffusion", "ancestral", "reverse_flow")
# A network of an eighth of a million weights, which learns on a CPU; that of the paper has 65 million.
_SMALL = {"kind": "unet", "channels": 8, "multipliers": (1, 2, 4), "blocks": 1, "attention": ()}


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

    Args:
        rate: Samples per second of the model; recordings at other rates are resampled, and their answers back.
        degradation: What is done to clean recordings that come without degraded ones: ``"additive_noise"``,
            ``"reverberation"``, or a table with settings.
        spectra: Settings of :class:`~interpolants.apps.speech.compressed_spectra.CompressedSpectra`.
        frames: Frames of a crop in training.
        path: A one-sided path with a Gaussian base: a name, a table or a ``Path``; ``"auto"`` is the paper's.
        least: Time left to the clean end where learning stops, as a share of the whole: where sigma vanishes nothing is
            to be learnt.
        net: A network for images ``(2, F, N)`` of any width N with a field as condition: a name, a table or a U-Net;
            ``"auto"`` is small.
        learns: ``"clean"``: the difference r, by a network with inputs and outputs of unit size at all noise levels;
            ``"noise"``: the noise, as is; ``"mean"``: the mean of r given y, by a regressor of the same size without a
            diffusion. A regressor takes no noise in training and one evaluation of the network to answer.
        normalise: Unit of a recording: its ``"peak"``, as in the paper; its ``"level"``, which no single sample moves;
            ``"none"``.
        draws: Draws whose mean is the answer: one, as in the paper, sounds like speech; the mean of more errs less.
        n_steps: Steps of the sampler.
        snr: Size of a Langevin step.
        corrections: Langevin steps before each step.
        predictor: ``"euler_maruyama"``, the paper's, or a name of ``dynamics.transitions``.
        longest: Seconds of the pieces of a long recording.

    Raises:
        InvalidInputError: If a setting is out of range, or the path has no Gaussian base.

    Source: Richter et al. (2023), arXiv:2208.05830. Ours: the path of the difference, the preconditioning, any path,
    files of any length by themselves.
    """

    only_cpu: ClassVar[str] = "recordings stay where they were read"
    noun: ClassVar[str] = "speech model"
    answering: ClassVar[tuple[str, ...]] = ("draws", "n_steps", "snr", "corrections", "predictor", "longest")

    rate: int = 8000
    degradation: Any = "additive_noise"
    spectra: Mapping[str, Any] | None = None
    frames: int = 64
    path: Any = "auto"
    least: float = 0.03
    net: Any = "auto"
    learns: str = "clean"
    normalise: str = "peak"
    draws: int = 1
    n_steps: int = 30
    snr: float = 0.5
    corrections: int = 1
    predictor: str = "euler_maruyama"
    longest: float = 20.0
    steps = 4000
    batch_size = 8
    lr = 2e-3

    def check_settings(self) -> None:
        """Refuse settings, and make degradation, spectra, path and flow."""
        who = "SpeechEnhancement"
        whole(who, "rate", self.rate, at_least=1000), whole(who, "frames", self.frames, at_least=8)
        number(who, "least", self.least, above=0, below=1)
        one_of(who, "learns", self.learns, LEARNS), one_of(who, "normalise", self.normalise, UNITS)
        if isinstance(self.degradation, str | Mapping):
            self.degradation = member(who, "degradation", self.degradation)
        self.transform = CompressedSpectra(**(self.spectra or {}))
        auto = isinstance(self.path, str) and self.path == "auto"
        self.path = choose_path(who, {"kind": "ouve", "channels": 2} if auto else self.path)
        check_preconditioned(self.path, ())
        head = "noise" if self.learns == "noise" else "denoised"
        self.flow = ConditionalFlow(
            who=who, path=self.path, head=head, wrapped=("denoised",), latest=1 - self.least
        )
        self._sampler()

    def _sampler(self, **asked: Any) -> dict[str, Any]:
        """Settings of the sampler, with those that were asked for in their place."""
        who, given = "SpeechEnhancement", {name: value for name, value in asked.items() if value is not None}
        found = {name: getattr(self, name) for name in self.answering} | given
        whole(who, "draws", found["draws"], at_least=1), whole(who, "n_steps", found["n_steps"], at_least=2)
        whole(who, "corrections", found["corrections"], at_least=0)
        number(who, "snr", found["snr"], above=0), number(who, "longest", found["longest"], at_least=1)
        one_of(who, "predictor", found["predictor"], PREDICTORS)
        return found

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
            check_heard("SpeechEnhancement.fit", one)
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
            warn_of_size("SpeechEnhancement.fit", of_difference, check_preconditioned(self.path, ())[1])
        net = self._network(of_difference, of_degraded)
        loss = partial(self._loss, net)
        return {"net": self.flow.learnt(run, "spectra", net, crops.rows, self.training(), loss=loss)}

    def _loss(self, net: nn.Module, times: TimeSampler) -> Loss:
        """The error of a regressor, without a state; or the loss of the flow."""
        return _regression if self.learns == "mean" else self.flow.loss(net, times)

    def _network(self, of_difference: float, of_degraded: float) -> nn.Module:
        """The network in wrappers that give it units."""
        shape = (2, self.transform.bins, self.frames)
        inner = named_net(self._asked_net(), shape, who="SpeechEnhancement", seed=self.seed).float()
        if not isinstance(inner, UNet):
            remedy = "Take a U-Net, whose width follows the recording."
            raise invalid(
                "SpeechEnhancement", "net must take images of any width", type(inner).__name__, remedy
            )
        told = ScaledCondition(inner, (0.0, 0.0), (of_degraded, of_degraded))
        return self.flow.wrap(told, of_difference)

    def _asked_net(self) -> Any:
        """The network that was asked for, told the degraded spectrum."""
        asked = _SMALL if isinstance(self.net, str) and self.net == "auto" else self.net
        if isinstance(asked, nn.Module):
            return asked
        return {**({"kind": asked} if isinstance(asked, str) else asked), "cond_channels": 2}

    # --- capabilities

    @capability(
        reads={"observed": Role(name="observed", kind="recordings", axis="recording", like="clean")},
        like="observed",
    )
    def restore(
        self,
        observed: Any,
        *,
        seed: int = 0,
        draws: int | None = None,
        n_steps: int | None = None,
        snr: float | None = None,
        corrections: int | None = None,
        predictor: str | None = None,
        longest: float | None = None,
    ) -> Heard:
        """Clean recordings that may lie behind degraded ones, one for each, at its rate and length.

        Args:
            observed: Recordings: a file, a folder, arrays ``(T,)`` at the model's rate, ``Recording``, or a list.
            seed: Seed of starts and noise; a recording's answer depends on it and the recording alone.
            draws: Draws whose mean is the answer; as the settings say if not given, like what follows.
            n_steps: Steps of the sampler.
            snr: Size of a Langevin step.
            corrections: Langevin steps before each step.
            predictor: Name of the steps.
            longest: Seconds of the pieces of a long recording.

        Raises:
            InvalidInputError: If a recording is shorter than a window, or a setting is out of range.
            DivergedError: If a sample left the finite numbers.
        """
        asked = self._sampler(
            draws=draws,
            n_steps=n_steps,
            snr=snr,
            corrections=corrections,
            predictor=predictor,
            longest=longest,
        )
        self._check_lengths(observed)  # before work that a late refusal would lose
        self._warn_of_bands(observed)
        warn_of_unusual("SpeechEnhancement.restore", observed, self.rate, self.normalise)
        return Heard([self._restored(one, asked, seed) for one in observed])

    def _warn_of_bands(self, observed: Sequence[Recording]) -> None:
        """Tell of what a lower rate of the model leaves out."""
        rates = sorted({one.rate for one in observed if one.rate > self.rate})
        if rates:
            told = f"a model of {self.rate} samples a second loses sound above {self.rate / 2:g} Hz"
            words = (
                f"SpeechEnhancement.restore: {told}; recordings have {rates[-1]}. Fit with rate={rates[-1]}."
            )
            tell(OutsideWarning, words)

    def _check_lengths(self, observed: Sequence[Recording]) -> None:
        """Refuse recordings that are shorter than a window."""
        least = self.transform.n_fft / self.rate
        for one in observed:
            if len(one) < least * (one.rate or self.rate):
                rule = f"{one.told} must last {1000 * least:.3g} ms, a window of the spectrum"
                lasts = f"{1000 * len(one) / (one.rate or self.rate):.3g} ms"
                raise invalid("SpeechEnhancement.restore", rule, lasts, "Leave it out.")

    def _restored(self, one: Recording, asked: Mapping[str, Any], seed: int) -> Recording:
        found = [
            self._of_channel(y, one.rate or self.rate, asked, key(seed, "channel", k))
            for k, y in enumerate(one.channels)
        ]
        return one.with_samples(torch.stack(found))

    def _of_channel(self, y: Tensor, rate: int, asked: Mapping[str, Any], seed: int) -> Tensor:
        """Clean samples ``(T,)`` for degraded ones at any rate: the model's rate, and back; silence stays."""
        if is_silent(y):
            return y
        y = y - offset_of(y, rate)
        back = at_rate(self._cleaned(at_rate(y, rate, self.rate), asked, seed), self.rate, rate)[: len(y)]
        return torch.nn.functional.pad(back, (0, len(y) - len(back)))

    def _cleaned(self, y: Tensor, asked: Mapping[str, Any], seed: int) -> Tensor:
        """Clean samples ``(T,)`` for degraded ones."""
        unit = unit_of(y, self.normalise)
        spectrum = self.transform.of(y / unit)
        count = 1 if self.learns == "mean" else asked["draws"]
        drawn = [self._drawn(spectrum, asked, key(seed, "draw", k)) for k in range(count)]
        return torch.stack([self.transform.samples(x, len(y)) for x in drawn]).mean(0) * unit

    def _drawn(self, spectrum: Tensor, asked: Mapping[str, Any], seed: int) -> Tensor:
        """A clean spectrum for a degraded one, ``(2, F, N)``, piece by piece."""
        most = max(2 * self.frames, round(asked["longest"] * self.rate / self.transform.hop))
        parts = [
            self._difference(part, asked, key(seed, "piece", k) >> 32)
            for k, part in enumerate(pieces(spectrum, most, self.frames))
        ]
        return spectrum + joined(parts, spectrum.shape[-1], self.frames)

    def _difference(self, y: Tensor, asked: Mapping[str, Any], seed: int) -> Tensor:
        """A difference ``(2, F, N)`` for a degraded spectrum."""
        net = with_inner_net(self.state["net"], partial(_as_wide, size=(y.shape[1], y.shape[2])))
        if self.learns == "mean":
            with torch.no_grad():
                found: Tensor = net(torch.zeros_like(y)[None], torch.zeros(()), y[None])[0]
            return found
        base: Any = self.path.base
        start = base.color(BlockNoise.like(y[None], seed, "first spectrum").normal())
        steps = asked["corrections"]
        corrector = Langevin(snr=asked["snr"], steps=steps, before=True) if steps else None
        euler = asked["predictor"] == "euler_maruyama"
        noise: dict[str, Any] = {"eps": ReverseNoise(), "cap_noise": False} if euler else {}
        return sample(
            self.flow.fields(net),
            start,
            cond=y[None],
            method=asked["predictor"],
            time_grid=self._grid(asked["n_steps"]),
            corrector=corrector,
            finish="mean",
            seed=seed,
            invariant=False,
            **noise,
        ).x[0]

    def _grid(self, n_steps: int) -> Tensor:
        """Even times up to ``1 - least``, and the end: the last step is as long as what is left."""
        even = torch.linspace(0, 1 - self.least, n_steps, dtype=torch.float64)
        return torch.cat([even, torch.ones(1, dtype=torch.float64)])


def _regression(net: Any, batch: Mapping[str, Any], generator: torch.Generator) -> dict[str, Tensor]:
    """Squared error of the difference without a state, in the units of the network."""
    zero, start = torch.zeros_like(batch["x1"]), torch.zeros(len(batch["x1"]))
    gap = net(zero, start, batch["cond"]) - batch["x1"]
    weight = net.net.weight(zero, start)["denoised"]
    return {"denoised": gap.square().flatten(1).sum(1) * weight}


def _as_wide(net: nn.Module, size: tuple[int, int]) -> nn.Module:
    assert isinstance(net, UNet)
    return net.on_grid(*size)


def _check_pairs(clean: list[Recording], degraded: list[Recording]) -> None:
    """Refuse pairs of different rates, lengths or numbers of channels."""
    who = "SpeechEnhancement.fit"
    names = [[one.name for one in part] for part in (clean, degraded)]
    for row, (one, other) in enumerate(zip(*names, strict=True)):
        if one and one != other and one in names[1] and names[1].count(one) == 1:
            remedy = "Leave out what has no partner, and give both in one order."
            raise invalid(
                who,
                f"degraded recordings must be in the order of the clean ones, {one} in place {row}",
                other,
                remedy,
            )
    for x, y in zip(clean, degraded, strict=True):
        if x.rate != y.rate:
            remedy = "Bring both to one rate first."
            raise invalid(
                who, f"{x.told} and its degraded one must have one rate", f"{x.rate} and {y.rate}", remedy
            )
        if x.channels.shape != y.channels.shape:
            shapes = f"{tuple(x.channels.shape)} and {tuple(y.channels.shape)}"
            raise invalid(
                who, f"{x.told} and its degraded one must be as long", shapes, "Cut both to one length."
            )
        check_heard(who, y)
