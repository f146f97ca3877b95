"""How restored speech compares with the clean one: ratios of energies, intelligibility, quality, and sounds."""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from interpolants.apps.speech.compressed_spectra import CompressedSpectra
from interpolants.apps.speech.degradations import level_of
from interpolants.apps.speech.metrics.speech_quality import estoi, pesq, si_ratios, si_sdr
from interpolants.apps.speech.recordings import Recording, channels_of
from interpolants.foundations.kinds import Check, Count, Whole
from interpolants.foundations.randomness import generator
from interpolants.framework.figures import Axis, Figure, Panel
from interpolants.framework.figures import Series as Mark
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.scores import Finding
from interpolants.framework.task import Task
from interpolants.methods.parts.choices import member
from interpolants.methods.questions.calls import with_seed

_NO_PESQ = Finding(
    text="PESQ was not measured: its package is not installed.",
    grave=False,
    remedy="Install it with: pip install 'interpolants[pesq]' (it needs a C compiler).",
)


def _has_pesq() -> bool:
    return importlib.util.find_spec("pesq") is not None


def _degradation(who: str, value: Any) -> Any:
    return member(who, "degradation", value) if isinstance(value, str | Mapping) else value


@dataclass(frozen=True, kw_only=True)
class SpeechQuality(Question):
    """Restored test recordings beside the clean ones, recording by recording, each at its own length."""

    needs: ClassVar[str] = "restore"
    front: ClassVar[tuple[str, ...]] = ("spectrograms", "sounds")
    numbers: ClassVar[Mapping[str, About]] = {
        "si_sdr": About("SI-SDR", "higher", "dB", note="Signal over all distortion, whatever the loudness."),
        "before": About("SI-SDR of the degraded recording", "neither", "dB"),
        "gain": About("Gain in SI-SDR", "higher", "dB"),
        "si_sir": About("SI-SIR", "higher", "dB", note="Signal over what is left of the noise."),
        "si_sar": About(
            "SI-SAR", "higher", "dB", note="Signal over what the restoration has put in or taken out."
        ),
        "estoi": About("ESTOI", "higher", note="Extended short-time objective intelligibility."),
        "estoi_before": About("ESTOI of the degraded recording", "neither"),
        "pesq": About("PESQ", "higher", note="Mean opinion score, narrow band at 8 kHz, wide band at 16."),
        "pesq_before": About("PESQ of the degraded recording", "neither"),
    }

    rate: Count = 8000
    """Samples per second at which they are compared."""
    degradation: Annotated[Any, Check(_degradation, "name | table")] = "additive_noise"
    """What is done to clean recordings."""
    most: Whole = 0
    """Most test recordings; 0 for all."""
    listeners: bool = True
    """Whether to ask for ESTOI and PESQ too, which need the extra ``speech``."""
    seed: Whole = 1
    """Seed of degradations and of restored draws."""
    shown: Whole = 0
    """Which recording is shown and heard."""

    def pairs(self, task: Task) -> list[tuple[Tensor, Tensor]]:
        """Clean and degraded samples ``(T,)`` of the test recordings; those of the task where it has pairs."""
        clean = channels_of(task.test["clean"], self.rate)[: self.most or None]
        if "degraded" in task.test:
            return list(zip(clean, channels_of(task.test["degraded"], self.rate), strict=False))
        return [(x, self._degraded(clean, i)) for i, x in enumerate(clean)]

    def _degraded(self, clean: Sequence[Tensor], i: int) -> Tensor:
        others = [x for k, x in enumerate(clean) if k != i]
        source, level = generator(self.seed, "degraded test recording", i), level_of(clean[i])
        found: Tensor = self.degradation.degrade(
            clean[i], self.rate, level=level, generator=source, others=others
        )
        return found

    def measure(self, method: Method, task: Task) -> Measured:
        """Numbers by recording."""
        pairs, asked = self.pairs(task), with_seed(method, "restore", self.seed)
        answer: Any = method
        given = [Recording(y, self.rate) for _, y in pairs]
        heard = [one.samples for one in answer.restore(given, **asked)]
        rows = [self._numbers(x, y, z) for (x, y), z in zip(pairs, heard, strict=True)]
        values: dict[str, Number] = {
            name: torch.tensor([row[name] for row in rows], dtype=torch.float64) for name in rows[0]
        }
        k = min(self.shown, len(pairs) - 1)
        arrays = {"clean": pairs[k][0], "degraded": pairs[k][1], "restored": heard[k]}
        findings = _worse(float(torch.as_tensor(values["gain"]).mean()))
        if self.listeners and not _has_pesq():
            findings = [*findings, _NO_PESQ]
        return Measured(values, arrays, findings=findings)

    def _numbers(self, x: Tensor, y: Tensor, z: Tensor) -> dict[str, float]:
        before, after = float(si_sdr(y, x)), si_ratios(z, x, y - x)
        found = {
            "si_sdr": float(after.distortion),
            "before": before,
            "gain": float(after.distortion) - before,
        }
        found |= {"si_sir": float(after.interference), "si_sar": float(after.artefacts)}
        if self.listeners:
            found |= {"estoi": estoi(z, x, self.rate), "estoi_before": estoi(y, x, self.rate)}
            if _has_pesq():
                found |= {"pesq": pesq(z, x, self.rate), "pesq_before": pesq(y, x, self.rate)}
        return found

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """One recording as spectrograms, and to be heard: clean, degraded, restored, and by the rivals."""
        sounds = {name: own.arrays[name] for name in ("clean", "degraded", "restored")}
        sounds |= {name.replace("_", " "): one.arrays["restored"] for name, one in rivals.items()}
        loudest = max(float(self._power(x).max()) for x in sounds.values())
        pictures = tuple(self._picture(name, x, loudest) for name, x in sounds.items())
        heard = tuple(self._sound(name, x) for name, x in sounds.items())
        columns, rows = 2, -(-len(sounds) // 2)
        told = f"Test recording {min(self.shown, max(0, len(task.test['clean']) - 1))}"
        return [
            Figure(
                name="spectrograms", panels=pictures, columns=columns, width=900, height=210 * rows,
                caption=f"{told}: power over time and frequency, from 70 dB below the loudest place of all to it.",
            ),
            Figure(
                name="sounds", panels=heard, columns=columns, width=900, height=130 * rows,
                caption=f"{told}, to be heard.",
            ),
        ]  # fmt: skip

    def _power(self, x: Tensor) -> Tensor:
        n_fft = 2 * round(0.016 * self.rate)
        return CompressedSpectra(n_fft=n_fft, hop=n_fft // 4, exponent=1.0, scale=1.0).of(x).square().sum(0)

    def _picture(self, name: str, x: Tensor, loudest: float) -> Panel:
        power = self._power(x)
        level = 10 * (power / loudest).clamp_min(1e-8).log10()
        extent = (0.0, len(x) / self.rate, 0.0, self.rate / 2000)
        heat = Mark(
            mark="heat", arrays={"values": level, "extent": extent}, low=-70, high=0, name="power (dB)"
        )
        return Panel(
            series=(heat,), title=name, x=Axis(label="time", unit="s"), y=Axis(label="frequency", unit="kHz")
        )

    def _sound(self, name: str, x: Tensor) -> Panel:
        return Panel(
            series=(Mark(mark="audio", arrays={"samples": x, "rate": self.rate}, name=name),), title=name
        )


def _worse(gain: float) -> list[Finding]:
    if gain >= 0:
        return []
    return [Finding(f"Restored recordings are {-gain:.1f} dB worse than degraded ones in SI-SDR.")]
