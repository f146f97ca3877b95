"""How a model of listeners, DNSMOS P.835, scores recorded prompts: clean, noisy, and restored by a run.

The network comes with ``pip install --no-deps speechmos`` (MIT) and runs in onnxruntime (``interpolants[export]``),
without the internet. It hears no reference and wants 16,000 samples a second: prompts of the telephone band are
resampled, and the score of the clean ones is what can be reached.

Source: Reddy, Gopal & Cutler (2022), ICASSP, arXiv:2110.01763; polynomials as in the package.
"""

from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.apps.speech.classical_restoration import SpectralSubtraction
from interpolants.apps.speech.prompts import recorded_prompts
from interpolants.apps.speech.recordings import Recording, at_rate
from interpolants.apps.speech.speech_questions import SpeechQuality
from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.framework.task import Split, Task
from interpolants.runs.models import load

_RATE, _SECONDS = 16_000, 9.01
# From what the network says to mean opinion scores: speech, background, overall.
_SCORES: Mapping[str, tuple[float, float, float]] = {
    "speech": (-0.08397278, 1.22083953, 0.0052439),
    "background": (-0.13166888, 1.60915514, -0.39604546),
    "overall": (-0.06766283, 1.11546468, 0.04602535),
}


def run(
    *, folder: Path = Path("runs/prompts"), most: int = 10, test: int = 40, draws: int = 1, snr: float = 5.0,
    report: Callable[[str], None] = print,
) -> None:  # fmt: skip
    """DNSMOS of test prompts: clean, in noise, less a noise floor, and restored by the model of a run.

    Args:
        folder: Run of ``speech_enhancement_prompts.toml``.
        most: Test prompts.
        test: Prompts that the run kept for the test.
        draws: Draws whose mean is the answer.
        snr: Ratio of signal to noise in decibels.
        report: Where lines go.
    """
    session, model = _session(), load(folder)
    task = Task.of(model.roles(), {"clean": recorded_prompts()}, Split(by="random", test=test))
    question = SpeechQuality(degradation={"kind": "additive_noise", "snr": snr}, most=most)
    clean, noisy = zip(*question.pairs(task), strict=True)
    given = [Recording(y, question.rate) for y in noisy]
    sounds = {
        "clean": clean,
        "nothing": noisy,
        "subtraction of a noise floor": _restored(SpectralSubtraction().fit([clean[0]]), given),
        f"the model, draws={draws}": _restored(model, given, draws=draws, seed=question.seed),
    }
    report("| restored by | " + " | ".join(_SCORES) + " |")
    report("| --- |" + " ---: |" * len(_SCORES))
    for name, heard in sounds.items():
        found = np.array([dnsmos(session, x, question.rate) for x in heard])
        mean, error = found.mean(0), found.std(0, ddof=1) / len(found) ** 0.5
        cells = [f"{m:.2f} ± {e:.2f}" for m, e in zip(mean, error, strict=True)]
        report(f"| {name} | {' | '.join(cells)} |")


def _restored(method: Any, given: list[Recording], **options: Any) -> list[Tensor]:
    return [one.samples for one in method.restore(given, **options)]


def _session() -> Any:
    weights = files(require("speechmos", by="dnsmos")) / "dnsmos_models" / "sig_bak_ovr.onnx"
    runtime = require("onnxruntime", by="dnsmos")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = torch.get_num_threads()
    return runtime.InferenceSession(weights.read_bytes(), options, providers=["CPUExecutionProvider"])


def dnsmos(session: Any, x: Tensor, rate: int) -> list[float]:
    """Scores from 1 to 5 for speech, background and all of it, over stretches of 9 seconds as its package takes them.

    Args:
        session: The network.
        x: Samples ``(T,)``; repeated where they are short.
        rate: Samples per second.
    """
    if not bool(torch.isfinite(x).all()):
        raise invalid("dnsmos", "samples must be finite", "nan or inf")
    sound = at_rate(x.float() / max(1.0, float(x.abs().max())), rate, _RATE).clamp(-1, 1).numpy()
    n = int(_SECONDS * _RATE)
    while len(sound) < n:
        sound = np.append(sound, sound)
    count = int(len(sound) // _RATE - _SECONDS) + 1  # as the package counts them
    parts = [sound[None, k * _RATE : k * _RATE + n] for k in range(count)]
    raw = np.stack([session.run(None, {"input_1": part})[0][0] for part in parts])
    scores = [np.polyval(c, raw[:, i]) for i, c in enumerate(_SCORES.values())]
    return [float(one.mean()) for one in scores]
