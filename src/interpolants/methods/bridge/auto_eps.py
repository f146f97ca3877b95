"""Choose the noise level of a learnt bridge from held-out data, when no truth is known.

1. Predict. Errors A(t) of the velocity and B(t) of the score are estimated from held-out residuals. The bound on the
   divergence of the SDE is least at the constant ``sqrt(int A / int B)`` and at the schedule ``sqrt(A(t)/B(t))``.
2. Try. The flow, constants around the first and multiples of the second are run, with the same starts and the same
   noise, and scored against held-out data. Differences between them are therefore measured far better than the scores.
3. Decide. The predicted schedule is kept unless another candidate is better by two standard errors of the difference.
   One whose score is not known well enough to win by more than its own error is left out.

Scores, lower is better: ``"likelihood"``, the held-out cross-entropy in nats, where the base has a density and the
paths share its weight; else ``"samples"``, the energy distance of generated to held-out samples in units of their
spread.

Source: Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797, section 2.4, for the bound; the procedure is ours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interpolants.dynamics.noise import NoiseLevel
from interpolants.dynamics.sample import sample
from interpolants.fields.protocol import Fields
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import generator
from interpolants.foundations.records import record
from interpolants.foundations.types import Condition, take_rows
from interpolants.likelihood.held_out_errors import held_out_errors
from interpolants.likelihood.kl_bound import SquaredErrors, optimal_eps, optimal_schedule
from interpolants.likelihood.log_prob import log_prob
from interpolants.likelihood.result import Density, SdeLogProb
from interpolants.metrics.energy_distance import energy_distance

CRITERIA = ("auto", "likelihood", "samples")
CONSTANTS = (0.25, 0.5, 1.0, 2.0, 4.0)
SCHEDULES = (0.5, 1.0, 2.0)
# A candidate replaces the prediction when it is better by so many standard errors of the difference.
CLEAR = 2.0
_GROUPS = 8
# Mean error of a log density, in nats, above which it says nothing: most of it is then what finer steps would change.
_MOST_ERROR = 0.5


@record("eps_candidate")
@dataclass(frozen=True)
class Candidate:
    """A noise level that was tried.

    Attributes:
        name: What it is, for people.
        kind: ``"flow"``, ``"constant"`` or ``"schedule"``.
        eps: The level, as ``dynamics.sample`` takes it.
        score: Held-out score, lower is better.
        error: Its standard error.
        gap: Score less that of the predicted schedule.
        gap_error: Standard error of the gap; the two share data, starts and noise.
    """

    name: str
    kind: str
    eps: float | NoiseLevel
    score: float
    error: float
    gap: float
    gap_error: float


@record("eps_choice")
@dataclass(frozen=True)
class EpsChoice:
    """A noise level and how it was chosen.

    Attributes:
        eps: The choice, as ``dynamics.sample`` takes it.
        name: The chosen candidate's name.
        constant: A constant instead: the candidate nearest to the predicted one, unless another one or the flow (0) is
            better by two standard errors of the difference.
        predicted: The constant of least bound, from the estimated errors; None where rows were too few for these.
        schedule: The schedule of least bound; likewise.
        candidates: All that were tried.
        criterion: ``"likelihood"`` (nats), ``"samples"`` (energy distance over spread) or ``"cross-validated samples"``
            (the same up to a constant, of few rows).
        errors: The estimated squared errors; None where rows were too few.
        reason: One or two sentences for a report.
    """

    eps: float | NoiseLevel
    name: str
    constant: float
    predicted: float | None
    schedule: NoiseLevel | None
    candidates: tuple[Candidate, ...]
    criterion: str
    errors: SquaredErrors | None
    reason: str

    def table(self) -> str:
        """The candidates as a Markdown table; the choice carries a star."""
        reference = "flow" if self.predicted is None else "prediction"
        lines = [f"| noise level | score | gap to the {reference} |", "| --- | ---: | ---: |"]
        for c in self.candidates:
            star = " *" if c.name == self.name else ""
            lines.append(
                f"| {c.name}{star} | {c.score:.4g} ± {c.error:.2g} | {c.gap:+.3g} ± {c.gap_error:.2g} |"
            )
        return "\n".join(lines) + "\n"


def auto_eps(
    fields: Fields,
    x0: Tensor,
    x1: Tensor,
    *,
    base: Density | None = None,
    errors: SquaredErrors | None = None,
    paired: bool = False,
    cond: Condition = None,
    criterion: str = "auto",
    n: int = 2000,
    n_steps: int = 60,
    paths: int = 8,
    constants: Sequence[float] = CONSTANTS,
    schedules: Sequence[float] = SCHEDULES,
    seed: int = 0,
) -> EpsChoice:
    """Choose eps for the forward SDE, constant or as a schedule over time.

    Args:
        fields: Learnt fields with a path, a velocity and a score.
        x0: Held-out start points ``(N, *D)``; draws of the base on a one-sided path.
        x1: Held-out end points ``(M, *D)``, which training has not seen, M >= 200; conditions belong to their rows.
        base: Density of rho0, for ``criterion="likelihood"``.
        errors: Squared errors of the fields, if they are known; estimated from the held-out rows otherwise.
        paired: Row i of ``x0`` belongs to row i of ``x1``.
        cond: Condition, one row per end point.
        criterion: ``"likelihood"``, ``"samples"``, or ``"auto"``: the first where it can be trusted.
        n: Most samples per candidate, >= 16, and a fifth of it most points for the likelihood.
        n_steps: Steps of the solver.
        paths: Paths per point for the likelihood.
        constants: Constant candidates, in units of the predicted one.
        schedules: Multiples of the predicted schedule.
        seed: Seed of all draws.

    Raises:
        InvalidInputError: If the criterion is unknown, or needs a density that was not given, or rows are too few.
    """
    if criterion not in CRITERIA:
        raise invalid("auto_eps", f"criterion must be one of {', '.join(CRITERIA)}", repr(criterion))
    if criterion == "likelihood" and base is None:
        raise invalid("auto_eps", "criterion='likelihood' needs the density of rho0", "None", "Pass base=.")
    if n < 2 * _GROUPS:
        raise invalid("auto_eps", f"n must be >= {2 * _GROUPS}, two samples for each group", n)
    if len(x1) < 200:
        raise invalid("auto_eps", "x1 must have at least 200 held-out rows", len(x1))
    source = generator(seed, "auto eps")
    if errors is None:
        start = None if fields.path is not None and fields.path.is_one_sided else x0
        errors = held_out_errors(fields, start, x1, paired=paired, cond=cond, generator=source)
    predicted = optimal_eps(errors)
    levels = _levels(errors, predicted, constants, schedules)
    levels, scores, used = _scores(fields, x0, x1, base, cond, criterion, levels, n, n_steps, paths, seed)
    tried = []
    for (name, kind, eps), values in zip(levels, scores, strict=True):
        apart, root = values - scores[0], math.sqrt(len(values))
        numbers = (values.mean(), values.std() / root, apart.mean(), apart.std() / root)
        tried.append(Candidate(name, kind, eps, *(float(number) for number in numbers)))
    return _choice(tuple(tried), _constant(levels, scores, predicted), errors, predicted, used)


Level = tuple[str, str, float | NoiseLevel]


def _levels(
    errors: SquaredErrors, predicted: float, constants: Sequence[float], schedules: Sequence[float]
) -> list[Level]:
    """Name, kind and level of each candidate; the predicted schedule first."""
    factors = [1.0, *(f for f in schedules if f != 1)]
    found: list[Level] = []
    for f in factors:
        name = "schedule" if f == 1 else f"schedule x {f:g}"
        found.append((name, "schedule", optimal_schedule(errors, scale=f)))
    found.append(("flow (0)", "flow", 0.0))
    found += [(f"{f * predicted:.3g}", "constant", f * predicted) for f in constants]
    return found


def _scores(
    fields: Fields,
    x0: Tensor,
    x1: Tensor,
    base: Density | None,
    cond: Condition,
    criterion: str,
    levels: list[Level],
    n: int,
    n_steps: int,
    paths: int,
    seed: int,
) -> tuple[list[Level], list[Tensor], str]:
    """Scores of the candidates by point or by group, so that differences can be paired; and the criterion used.

    A candidate whose log densities are not known to ``_MOST_ERROR`` is left out: it could win by its error alone.
    """
    if criterion != "samples" and base is not None:
        points = slice(0, max(40, n // 5))
        rows = take_rows(cond, slice(0, len(x1[points])))
        found = [
            _cross_entropies(fields, x1[points], base, eps, rows, n_steps, paths, seed) for *_, eps in levels
        ]
        if criterion == "likelihood" or all(shared and known for _, shared, known in found):
            if not found[0][2]:
                rule = f"the log densities at the predicted schedule must have an error of at most {_MOST_ERROR} nats"
                remedy = "Use more n_steps, or criterion='samples'."
                raise invalid("auto_eps", rule, f"more at n_steps={n_steps}", remedy)
            kept = [n for n, (_, _, known) in enumerate(found) if known]
            return [levels[n] for n in kept], [found[n][0] for n in kept], "likelihood"
    rows = min(n, len(x0), len(x1))
    rows -= rows % _GROUPS
    conds = take_rows(cond, slice(0, rows))
    apart = [_distances(fields, x0[:rows], x1[:rows], eps, conds, n_steps, seed) for *_, eps in levels]
    return levels, apart, "samples"


def _cross_entropies(
    fields: Fields, x: Tensor, base: Density, eps: Any, cond: Condition, n_steps: int, paths: int, seed: int
) -> tuple[Tensor, bool, bool]:
    """``-log p`` by point, whether the paths share the weight, and whether the error allows a comparison."""
    few = x[0].numel() <= 16
    if isinstance(eps, float) and eps == 0:
        how = "exact" if few else "hutchinson"
        options: dict[str, Any] = {"method": "midpoint", "n_steps": n_steps, "divergence": how}
        return -log_prob(fields, x, base, cond=cond, seed=seed, **options).log_prob.double(), True, True
    found = log_prob(
        fields,
        x,
        base,
        eps=eps,
        cond=cond,
        divergence="exact" if few else "none",
        paths=paths,
        n_steps=n_steps,
        seed=seed,
        invariant=False,
    )
    assert isinstance(found, SdeLogProb)
    shared, known = float(found.ess.median()) >= paths / 2, float(found.error.mean()) <= _MOST_ERROR
    return -found.log_prob.double(), shared, known


def _distances(
    fields: Fields, x0: Tensor, x1: Tensor, eps: Any, cond: Condition, n_steps: int, seed: int
) -> Tensor:
    """Energy distance of generated to held-out samples over their spread, group by group."""
    made = sample(fields, x0, eps=eps, n_steps=n_steps, seed=seed, cond=cond, invariant=False).x
    spread = float((x1.double() - x1.double().mean(0)).flatten(1).square().sum(1).mean().sqrt())
    groups = zip(made.chunk(_GROUPS), x1.chunk(_GROUPS), strict=True)
    return torch.tensor([energy_distance(a, b).value / spread for a, b in groups], dtype=torch.float64)


def _constant(levels: list[Level], scores: list[Tensor], predicted: float) -> float:
    """The constant nearest to the predicted one, or the best of those that are clearly better."""
    steady = [
        (eps, values) for (*_, eps), values in zip(levels, scores, strict=True) if isinstance(eps, float)
    ]
    near, own = min(steady, key=lambda pair: abs(pair[0] - predicted))
    clear = [
        (float(values.mean()), eps)
        for eps, values in steady
        if float((values - own).mean()) < -CLEAR * float((values - own).std()) / math.sqrt(len(own))
    ]
    return min(clear)[1] if clear else near


def _choice(
    tried: tuple[Candidate, ...], constant: float, errors: SquaredErrors, predicted: float, criterion: str
) -> EpsChoice:
    reference = tried[0]
    clear = [c for c in tried[1:] if c.gap < -CLEAR * c.gap_error]
    best = min(clear, key=lambda c: c.score) if clear else reference
    assert isinstance(reference.eps, NoiseLevel)
    what = "held-out cross-entropy" if criterion == "likelihood" else "energy distance to held-out samples"
    why = (
        f"it is better than the predicted schedule by {-best.gap:.3g} ± {best.gap_error:.2g} in {what}"
        if clear
        else f"it is the level of least bound for the estimated errors, and no other is clearly better in {what}"
    )
    reason = f"eps = {best.name} was chosen among {len(tried)}: {why}. Predicted constant: {predicted:.3g}."
    return EpsChoice(
        best.eps, best.name, constant, predicted, reference.eps, tried, criterion, errors, reason
    )
