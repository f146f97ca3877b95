"""How well do two heuristics complete images of which one half is known?

Handwritten digits, 8 x 8: a U-Net learns the noise of a variance-preserving diffusion, and completes the right halves
of digits that it has not seen. Seams are jumps across the edge over those of real digits; the error is that of the
hidden half, root mean square over the deviation of the data. How near a rule stays to the known half, before it is
pasted back, is a peak signal-to-noise ratio. The rival is the right half of a sample that knows of nothing.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from interpolants.data import load
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Figure, strips
from interpolants.framework.seeds import Results, Stated, markdown
from interpolants.guidance import CyclicOneWay
from interpolants.guidance.cyclic import Job
from interpolants.methods import Bridge
from interpolants.metrics import frechet_distance, seam_score
from studies.common import Study

Settings = Mapping[str, Any]
_CYCLIC = "cyclic_one_way"
UNAWARE = "unaware"
# Rules by name.
RULES: dict[str, dict[str, Any]] = {
    "one-way, 0 cycles": {"kind": _CYCLIC, "cycles": 0},
    "one-way, 1 cycle": {"kind": _CYCLIC, "cycles": 1},
    "one-way, 10 cycles": {"kind": _CYCLIC, "cycles": 10},
    "one-way, 10 cycles, late": {"kind": _CYCLIC, "cycles": 10, "late": [0.6, 0.9]},
    "one-way, 10 cycles, noised": {"kind": _CYCLIC, "cycles": 10, "track": "noised"},
    "RePaint, once": {"kind": "repaint", "resamples": 1},
    "RePaint, 5 times": {"kind": "repaint"},
}

SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {"steps": 6, "batch": 16, "channels": 4, "n": 20},
    "laptop": {"steps": 1600, "batch": 64, "channels": 16, "n": 256},
    "full": {"steps": 20_000, "batch": 128, "channels": 32, "n": 360},
}


def cases(settings: Settings) -> Sequence[str]:
    """The trivial answer, and the rules."""
    return (UNAWARE, *RULES)


@lru_cache(maxsize=1)
def digits(split: str) -> Tensor:
    """Digits ``(N, 1, 8, 8)`` in [-1, 1]."""
    return load("digits", split).x.float()


@lru_cache(maxsize=1)
def learn(seed: int, steps: int, batch: int, channels: int) -> Bridge:
    """The model of a seed, kept for the next case."""
    net = {"kind": "unet", "channels": channels, "multipliers": [1, 2, 2], "blocks": 1, "attention": []}
    loop = {"steps": steps, "batch_size": batch, "ema": 0.995, "seed": seed, "held_out": 0}
    return Bridge(path="vp", heads=("noise",), net=net, **loop).fit(
        x1=load("digits", "train").x.float(), progress=False
    )


def measure(case: str, seed: int, settings: Settings) -> Answered:
    """One rule on unseen digits."""
    model = learn(seed, settings["steps"], settings["batch"], settings["channels"])
    truth = digits("test")[: settings["n"]]
    known = torch.zeros(truth.shape[1:], dtype=torch.bool)
    known[..., :4] = True
    made = _made(model, case, truth, known, seed)
    hidden = ~known.expand_as(truth)
    values = {
        "seam": seam_score(made, truth, mask=known.float()).value,
        "error": float((made - truth)[hidden].square().mean().sqrt() / truth.std()),
        "distance": frechet_distance(made, digits("test")).value,
    }
    if case in RULES and RULES[case]["kind"] == _CYCLIC:
        moved = (_unpasted(model, RULES[case], truth, known, seed) - truth)[~hidden].square().mean()
        values["kept"] = float(10 * torch.log10(4 / moved))
    arrays = {"made": made[:8].numpy(), "truth": truth[:8].numpy()} if seed == 0 else {}
    return measured(values, arrays)


def _made(model: Bridge, case: str, truth: Tensor, known: Tensor, seed: int) -> Tensor:
    if case == UNAWARE:
        return torch.where(known, truth, model.sample(len(truth), seed=seed, method="dpmpp_2m", n_steps=50))
    return _completed(model, RULES[case], truth, known, seed)


def _completed(model: Bridge, rule: Settings, truth: Tensor, known: Tensor, seed: int) -> Tensor:
    found: Tensor = model.complete(truth.masked_fill(~known, torch.nan), using=dict(rule), seed=seed)
    return found


def _unpasted(model: Bridge, rule: Settings, truth: Tensor, known: Tensor, seed: int) -> Tensor:
    """Where the rule itself leaves all entries."""
    settings = {name: value for name, value in rule.items() if name != "kind"}
    x = model.frame.encode(truth)
    job = Job(model.fields, x.masked_fill(~known, torch.nan), known.expand_as(x).float(), seed)
    found: Tensor = model.frame.decode(CyclicOneWay(**settings, paste=False).complete(job).x)
    return found


# --- table and figures ---------------------------------------------------------------------------------------


def table(results: Results) -> str:
    """Seams, errors, distances, and what was kept."""
    head = ["rule", "seam score", "error of the hidden half", "Fréchet distance", "known half, dB"]
    names = {"seam": 2, "error": 2, "distance": 2, "kept": 1}
    return results.head + "\n" + markdown(head, results.rows(results.cases, names))


def figures(results: Results) -> list[Figure]:
    """Eight digits by every rule, the truth first."""
    found = {case: results.arrays(case, 0) for case in results.cases}
    found = {case: arrays for case, arrays in found.items() if arrays}
    if not found:
        return []
    rows = {"truth": next(iter(found.values()))["truth"]} | {
        case: arrays["made"] for case, arrays in found.items()
    }
    panel = strips([x[:, 0] for x in rows.values()], names=tuple(rows), title="Left halves are known")
    return [Figure(name="completion", panels=(panel,), width=640, height=640)]


_TEN, _NONE = "one-way, 10 cycles", "one-way, 0 cycles"
CLAIMS = (
    Stated("ten.seam < 1.25", (_TEN, "seam")),
    Stated("ten.seam < none", (_TEN, "seam"), (_NONE, "seam")),
    Stated("late.kept > 25", ("one-way, 10 cycles, late", "kept")),
    Stated("ten.error < unaware", (_TEN, "error"), (UNAWARE, "error"), "trivial"),
    Stated("repaint.error < unaware", ("RePaint, 5 times", "error"), (UNAWARE, "error"), "trivial"),
    Stated("inverted.error < noised", (_TEN, "error"), ("one-way, 10 cycles, noised", "error")),
)

STUDY = Study("completion", SETTINGS, cases, measure, table, figures, CLAIMS)
