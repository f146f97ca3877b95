"""Solvers of few evaluations that are fitted to one model.

The numbers of a table, see :mod:`interpolants.dynamics.solver_table`, minimise the mean distance between its end points
and those of an adaptive solver, over start points of the model's own base. The fit starts from the named solver and
spacing with the smallest distance, and keeps the table with the smallest distance on held-out starts.

Difference from the source: the mean distance is minimised, not the mean square. Squares follow the few starts between
two modes: on a mixture of three Gaussians at 8 evaluations the median distance of new starts is 0.004 for the mean
distance and 0.010 for the square, at the same root mean square.

Source: Shaul et al. (2024), arXiv:2403.01329.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import torch
from annotated_types import Interval
from torch import Tensor

from interpolants.dynamics.course import Course
from interpolants.dynamics.optimised_grid import reference, standard_grids
from interpolants.dynamics.sample import check_call, fixed_sampler
from interpolants.dynamics.samplers import ADAPTIVE
from interpolants.dynamics.solver_table import FittedSolver, described, plain_condition, probe
from interpolants.fields.learned import LearnedFields
from interpolants.fields.protocol import Fields
from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import changed, one_of, whole
from interpolants.foundations.errors import InvalidInputError, invalid
from interpolants.foundations.kinds import Count, Positive, Whole
from interpolants.foundations.ops import time_dtype
from interpolants.foundations.randomness import generator
from interpolants.foundations.tell import SettingWarning, tell
from interpolants.foundations.types import Condition, parts_of, take_rows
from interpolants.solvers.registry import available, get_solver
from interpolants.solvers.tableau import RungeKutta

_WHO = "fit_solver"
_FEWEST = 64  # start points
_PER_NUMBER = 20  # entries of the training end points for each fitted number
_GAIN = 0.05  # share by which the error on held-out starts must fall
_LOOK = 20  # steps between two measurements on them
# Distances below this share of the start's root mean square count by their squares, so that gradients stay bounded.
_ROUND = 0.03


@dataclass(frozen=True, kw_only=True)
class SolverFit(Checked):
    """Settings of the fit of a solver."""

    start: str | None = None
    """Named solver with fixed steps to start from; None for the one with the smallest error on the training starts."""
    steps: Count = 400
    """Steps of Adam."""
    lr: Positive = 2e-2
    """Initial step size of Adam, which falls to 0 like a cosine."""
    batch_size: Count = 512
    """Start points per step."""
    held_out: Annotated[float, Interval(gt=0, lt=1)] = 0.2
    """Fraction of the start points that are held out."""
    seed: Whole = 0
    """Seed of the held-out rows and of the batches."""


class _Table(NamedTuple):
    """Start weights ``(n,)``, weights ``(n, n)`` below the diagonal and on it, and times ``(n,)``, float64."""

    start_weights: Tensor
    weights: Tensor
    times: Tensor


class _Pairs(NamedTuple):
    """Start points ``(B, *D)``, their conditions, and end points of the reference."""

    x: Tensor
    cond: Condition
    end: Tensor

    def rows(self, rows: Any) -> "_Pairs":
        return _Pairs(self.x[rows], take_rows(self.cond, rows), self.end[rows])


def fit_solver(
    fields: Fields,
    x: Tensor,
    n: int,
    how: SolverFit | None = None,
    *,
    cond: Condition = None,
    **changes: Any,
) -> FittedSolver:
    """Fit a solver of ``n`` evaluations to the flow of a model from t = 0 to 1.

    ::

        fast = fit_solver(fields, torch.randn(2000, 2), n=4)        # 18 numbers
        sample(fields, torch.randn(1000, 2), method=fast)

    It gives no log densities, does not run backwards, and holds for these fields only; see :class:`FittedSolver`.
    Judge it on other start points than ``x``.

    Args:
        fields: Fields of the model, with the guidance to sample with, e.g. ``bridge.fields``.
        x: Start points at t = 0, ``(B, *D)``, in the precision to sample in; 2,000 are usual in few dimensions.
        n: Evaluations; n (n + 5) / 2 numbers are fitted.
        how: Settings of the fit.
        cond: Condition, one row per start point.
        changes: Settings of :class:`SolverFit` that differ from ``how``.

    Returns:
        The solver, with its error on the held-out start points.

    Raises:
        InvalidInputError: If there are too few start points for n, the fields are random, the condition has a
            strength of guidance per row, or a setting breaks its rule.
        DivergedError: If the reference solver fails.

    Warns:
        SettingWarning: If ``n`` is 1, where the solver is a regression to the mean.
    """
    how = changed(_WHO, SolverFit() if how is None else how, changes)
    whole(_WHO, "n", n, at_least=1)
    check_call(_WHO, x, cond, 0, None, "raise")
    _check_amount(x, n, how)
    _check_fields(fields, x, cond)
    if n == 1:
        text = "one evaluation leaves two weights and a time: end points are pulled to the mean of the data"
        tell(SettingWarning, f"{_WHO}: {text}. Fit n=4, or train a FlowMap for one evaluation.")
    end = reference(fields, x, cond)
    order = torch.randperm(len(x), generator=generator(how.seed, "starts held out")).to(x.device)
    pairs, n_held = _Pairs(x, cond, end), max(1, round(how.held_out * len(x)))
    held_pairs, train = pairs.rows(order[:n_held]), pairs.rows(order[n_held:])
    name, table = _best_start(fields, n, train.rows(slice(0, how.batch_size)), how.start)
    fitted = _descend(fields, table, train, held_pairs, how)
    errors = {name: _rms(fields, table, held_pairs), "fitted": _rms(fields, fitted, held_pairs)}
    return _as_solver(fitted, fields, x, cond, errors)


def _check_amount(x: Tensor, n: int, how: SolverFit) -> None:
    numbers, entries = n * (n + 5) // 2, x[0].numel()
    min_rows = max(_FEWEST, math.ceil(_PER_NUMBER * numbers / entries / (1 - how.held_out)))
    if len(x) < min_rows:
        rule = (
            f"x must have at least {min_rows} start points, as {n} evaluations have {numbers} numbers to fit"
        )
        raise invalid(_WHO, rule, len(x), "Pass more of them, or use a smaller n.")


def _check_fields(fields: Fields, x: Tensor, cond: Condition) -> None:
    """Check that fields return the same velocity twice, have a path, and that no condition changes what is fitted."""
    if fields.path is None:
        remedy = "For example, LearnedFields(path, velocity=net)."
        raise invalid(_WHO, "fields must have a path", type(fields).__name__, remedy)
    if isinstance(cond, dict) and {"guided", "strength"} <= set(cond):
        rule = "all start points must have one strength of guidance"
        raise invalid(
            _WHO, rule, "one per row", "Pass ClassifierFree(fields, strength) and the plain condition."
        )
    if not all(bool(part.isfinite().all()) for part in parts_of(cond)):
        raise invalid(_WHO, "cond must be finite", "nan or inf", "Drop rows without a condition.")
    t, few = torch.full((), 0.5, dtype=time_dtype(x)).to(x.device), x[:2]
    with torch.no_grad():
        first, second = (
            fields.evaluate(few, t, ("velocity",), take_rows(cond, slice(0, 2)))["velocity"] for _ in range(2)
        )
    if not torch.equal(first, second):
        rule = "fields must have the same velocity at each evaluation"
        raise invalid(_WHO, rule, "fields that draw noise", "Switch dropout off with net.eval().")


# --- named solvers as tables


def _best_start(fields: Fields, n: int, pairs: _Pairs, start: str | None) -> tuple[str, _Table]:
    """The named solver and spacing with the smallest mean distance, and its table."""
    solvers = [name for name in (*available("ode"), *available("multistep")) if name not in ADAPTIVE]
    names = solvers if start is None else [one_of(_WHO, "start", start, solvers)]
    tables = {label: table for name in names for label, table in _tables(fields, name, n)}
    if not tables:
        rule = f"start must be a solver that can make {n} evaluations on this path"
        raise invalid(_WHO, rule, start, "Omit start, or use 'euler'.")
    errors = {label: float(_distances(fields, table, pairs).mean()) for label, table in tables.items()}
    best = min(errors, key=lambda label: math.inf if math.isnan(errors[label]) else errors[label])
    return best, tables[best]


def _tables(fields: Fields, name: str, n: int) -> Iterator[tuple[str, _Table]]:
    solver: Any = get_solver(name)
    per_step = solver.nfe_per_step if isinstance(solver, RungeKutta) else 1
    if n % per_step:
        return
    for spacing, grid in standard_grids(fields, n // per_step, name).items():
        try:
            yield f"{name}, {spacing}", table_of(fields, name, grid, n)
        except InvalidInputError:  # a multistep solver, on a path without such steps
            return


def table_of(fields: Fields, name: str, grid: Any, n: int) -> _Table:
    """A named solver on a grid as a table: the solver runs over coordinates in the span of x0 and the velocities.

    Args:
        fields: Fields, of whose path the solver takes the coefficients.
        name: Solver with fixed steps.
        grid: Times.
        n: Its evaluations on the grid.
    """
    unit = torch.eye(n + 1, dtype=torch.float64)
    rows: list[Tensor] = []
    times: list[float] = []

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        rows.append(x[0].clone())
        times.append(float(t[0]))
        return unit[len(times)][None].clone()

    assert fields.path is not None
    recorded = LearnedFields(fields.path, velocity=velocity, margin=getattr(fields, "margin", None))
    sampler = fixed_sampler(Course(fields=recorded, grid=grid, method=name), unit[:1])
    end = sampler.run(unit[:1].clone(), None, 0, keep=False, on_step=None).x[0]
    states = torch.stack([*rows[1:], end])
    return _Table(states[:, 0], states[:, 1:], torch.tensor(times, dtype=torch.float64))


# --- the fit


def _run(fields: Fields, table: _Table, x: Tensor, cond: Condition) -> Tensor:
    """End points of a table, differentiable by its numbers."""
    start, weights = table.start_weights.to(x), table.weights.to(x)
    times = table.times.to(device=x.device, dtype=time_dtype(x))
    state, values = x, []
    for i in range(len(times)):
        values.append(fields.evaluate(state, times[i], ("velocity",), cond)["velocity"])
        state = start[i] * x + sum(weights[i, j] * value for j, value in enumerate(values))
    return state


def _in_batches(pairs: _Pairs, size: int, job: Callable[[_Pairs], Tensor]) -> Tensor:
    return torch.cat([job(pairs.rows(slice(k, k + size))) for k in range(0, len(pairs.x), size)])


def _squared_distances(fields: Fields, table: _Table, pairs: _Pairs) -> Tensor:
    """Squared distances of the end points, per row."""
    return (_run(fields, table, pairs.x, pairs.cond) - pairs.end).double().square().flatten(1).sum(1)


@torch.no_grad()
def _distances(fields: Fields, table: _Table, pairs: _Pairs, size: int = 512) -> Tensor:
    return _in_batches(pairs, size, lambda part: _squared_distances(fields, table, part)).sqrt()


def _rms(fields: Fields, table: _Table, pairs: _Pairs) -> float:
    """Root mean square error per entry."""
    squares = _distances(fields, table, pairs).square()
    return math.sqrt(float(squares.mean()) / pairs.x[0].numel())


def _descend(fields: Fields, start: _Table, train: _Pairs, held_pairs: _Pairs, how: SolverFit) -> _Table:
    """The table with the smallest mean distance on held-out pairs; the start if none is clearly nearer."""
    below = torch.ones_like(start.weights).tril()
    numbers = [part.clone().requires_grad_() for part in start]
    optimizer = torch.optim.Adam(numbers, lr=how.lr)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, how.steps)
    smooth = (_ROUND * _distances(fields, start, held_pairs).square().mean().sqrt()) ** 2
    source = generator(how.seed, "batches of pairs")
    first = float(_distances(fields, start, held_pairs).mean())
    best, smallest = start, (1 - _GAIN) * first
    for step in range(how.steps):
        rows = torch.randperm(len(train.x), generator=source)[: how.batch_size].to(train.x.device)
        with torch.enable_grad():
            table = _Table(numbers[0], numbers[1] * below, numbers[2])
            loss = (_squared_distances(fields, table, train.rows(rows)) + smooth).sqrt().mean()
            # Gradients of the networks stay unchanged. Not every velocity depends on time.
            slopes = torch.autograd.grad(loss, numbers, allow_unused=True, materialize_grads=True)
        for number, slope in zip(numbers, slopes, strict=True):
            # The rate of a matched time can be infinite at t = 0: such a time stays.
            number.grad = slope.nan_to_num(0.0, 0.0, 0.0)
        optimizer.step()
        decay.step()
        with torch.no_grad():
            numbers[2].copy_(numbers[2].clamp(0, 1).cummax(0).values)
        if (step + 1) % _LOOK and step + 1 < how.steps:
            continue
        current = _Table(*(part.detach().clone() for part in (numbers[0], numbers[1] * below, numbers[2])))
        error = float(_distances(fields, current, held_pairs).mean())
        if error < smallest:  # false for NaN
            best, smallest = current, error
    return best


def _as_solver(
    table: _Table, fields: Fields, x: Tensor, cond: Condition, errors: dict[str, float]
) -> FittedSolver:
    times, shape = tuple(table.times.tolist()), tuple(x.shape[1:])
    rows = torch.arange(2 * len(times)) % len(x)
    probed = take_rows(cond, rows.to(x.device))
    return FittedSolver(
        times=times,
        start_weights=tuple(table.start_weights.tolist()),
        weights=tuple(tuple(row[: i + 1]) for i, row in enumerate(table.weights.tolist())),
        path=described(fields),
        dtype=str(x.dtype).removeprefix("torch."),
        shape=shape,
        cond=plain_condition(probed),
        answers=tuple(probe(fields, times, shape, x, probed).tolist()),
        errors=errors,
    )
