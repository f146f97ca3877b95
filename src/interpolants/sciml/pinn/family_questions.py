"""How well a family of differential equations is solved, and how well its parameters are found from sensors."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Count, NonNegative
from interpolants.foundations.randomness import generator
from interpolants.framework.answers import Predictive
from interpolants.framework.capabilities import NotAbleError
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.role import Role
from interpolants.framework.task import Task
from interpolants.methods.questions.distances import as_tensor
from interpolants.metrics.estimate import Estimate
from interpolants.sciml.pinn.pde.family import PDEFamily, check_family

# The stream of the problems that are asked: floors, rivals and this method get the same ones.
_ASKED = "families asked"
# Fields that are drawn, and points of a side of their pictures.
_SHOWN, _SIDE = 3, {1: 101, 2: 31}
_TWO_STD = 0.9545


@dataclass(frozen=True, kw_only=True)
class FamilySolutions(Question):
    """Errors of predicted solutions for parameters that no fit has seen, against numerical solutions."""

    needs: ClassVar[str] = "predict"
    numbers: ClassVar[Mapping[str, About]] = {
        "nmse": About(
            "Normalised squared error", note="Sum of squared errors over that of squares, mean over problems."
        ),
        "median_nmse": About("Its median over problems"),
        "residual": About(
            "Root mean square residual",
            unit="residual",
            note="Of the mean, at random points that no fit has seen.",
        ),
        "inside": About(
            "Share within two standard deviations",
            "neither",
            note="Of the errors of u. The spread follows from the tolerance of the residual and promises nothing here.",
        ),
    }

    problem: str = "problem"
    """Role of the family."""
    cases: Annotated[int, Ge(_SHOWN)] = 50
    """Problems, drawn from the family."""
    points: Count = 400
    """Random points of each at which the residual is measured."""
    seed: int = 1
    """Seed of both."""

    def measure(self, method: Method, task: Task) -> Measured:
        """One number per problem."""
        family: PDEFamily = task.values[self.problem]
        z, w = family.draw(self.cases, generator(self.seed, _ASKED))
        grid = _picture(family)
        points = grid.expand(self.cases, -1, -1)
        truth = solved(family, self.cases, self.seed).at(points)
        found = _distribution(method.predict(_rows(points, z, w)), "predict")  # type: ignore[attr-defined]
        mean, std = (as_tensor(x).double().reshape(self.cases, -1) for x in (found.mean, found.std))
        nmse = (mean - truth).square().sum(1) / truth.square().sum(1)
        inner = (family.distance_at(grid)[:, 0] > 1e-9).nonzero()[:, 0]
        inside = ((mean - truth).abs() <= 2 * std).double()[:, inner].mean(1)
        values: dict[str, Number] = {"nmse": nmse, "median_nmse": median(nmse), "inside": inside}
        if method.can("residual"):
            values["residual"] = self._residual(method, family, z, w)
        order = nmse.argsort()
        shown = order[torch.tensor([0, len(order) // 2, len(order) - 1])]
        arrays = {"truth": truth[shown], "mean": mean[shown], "std": std[shown], "nmse": nmse[shown]}
        arrays |= {"which": shown, "every_mean": mean}
        return Measured(values, arrays)

    def _residual(self, method: Method, family: PDEFamily, z: Tensor, w: Tensor) -> Tensor:
        """Root mean square residual of each problem."""
        source = generator(self.seed, "points of residuals")
        points = family.points(self.cases * self.points, source).reshape(self.cases, self.points, -1)
        left = as_tensor(method.residual(_rows(points, z, w)))  # type: ignore[attr-defined]
        return left.double().reshape(self.cases, -1).square().mean(1).sqrt()

    def floors(self, task: Task) -> Mapping[str, Estimate | float | str]:
        """What exact solutions would get."""
        return {"nmse": 0.0, "median_nmse": 0.0, "residual": 0.0, "inside": "unknown: nothing is promised"}

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """The best, the median and the worst solution."""
        family: PDEFamily = task.values[self.problem]
        draw = _line_panels if len(family.box) == 1 else _map_panels
        told = "Best, median and worst of the problems, by the method's error."
        panels = draw(family, own, rivals)
        return [Figure(name="solutions", panels=panels, columns=3, caption=told, width=960,
                       height=300 * (len(panels) // 3))]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ParameterRecovery(Question):
    """Parameters that are inferred from noisy values at sensors, against those that made the values."""

    needs: ClassVar[str] = "infer"
    problem: str = "problem"
    """Role of the family."""
    sensors: str = "sensors"
    """Role of the sensors' places ``(N, d)``, stretched to the box; places are drawn uniformly without it."""
    counts: tuple[Count, ...] = (15, 30, 60)
    """Numbers of sensors; of places that are given some are drawn anew for each problem."""
    cases: Annotated[int, Ge(2)] = 100
    """Problems for each number, drawn from the family."""
    noise: NonNegative = 0.02
    """Standard deviation of the noise, in units of u."""
    seed: int = 2
    """Seed of all of these."""

    def reads(self) -> Sequence[Role]:
        """Places of sensors, where there are some."""
        return (
            Role(name=self.sensors, axis="sensor", optional=True, exact=True, about="Places of sensors."),
        )

    def about(self, name: str) -> About:
        """An error, or a coverage, with so many sensors."""
        what, _, count = name.rpartition("_")
        if what == "nmse":
            return About(
                f"Squared error of the parameters, {count} sensors", note="Over their variance a priori."
            )
        if what == "coverage":
            promised = "a calibrated Gaussian"
            return About(f"Within two standard deviations, {count} sensors", "neither", floor_of=promised)
        return super().about(name)

    def measure(self, method: Method, task: Task) -> Measured:
        """Numbers per problem, for each number of sensors."""
        family: PDEFamily = task.values[self.problem]
        z, w = family.draw(self.cases, generator(self.seed, _ASKED))
        variance = torch.tensor([(high - low) ** 2 / 12 for low, high in family.unknown.values()]).double()
        values: dict[str, Number] = {}
        arrays: dict[str, Tensor] = {"truth": z}
        lines: list[str] = []
        for count in self.counts:
            observed = self._observed(family, count, task.values.get(self.sensors), w)
            case = torch.arange(self.cases).repeat_interleave(count)
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                answer = method.infer(observed, case=case)  # type: ignore[attr-defined]
            lines += [f"{count} sensors: {one.message}" for one in told]
            found = _distribution(answer, "infer")
            mean, std = (as_tensor(x).double() for x in (found.mean, found.std))
            values[f"nmse_{count}"] = ((mean - z).square() / variance).mean(1)
            values[f"coverage_{count}"] = ((mean - z).abs() <= 2 * std).double().mean(1)
            arrays |= {f"mean_{count}": mean, f"std_{count}": std}
        return Measured(values, arrays, {"Told by the method": lines} if lines else {})

    def _observed(self, family: PDEFamily, count: int, places: Any, w: Tensor) -> Tensor:
        """Rows of places, values and known parameters of all cases."""
        source = generator(self.seed, "sensors", count)
        if places is None:
            points = family.points(self.cases * count, source).reshape(self.cases, count, -1)
        else:
            points = _chosen(stretched(as_tensor(places).double(), family), self.cases, count, source)
        u = solved(family, self.cases, self.seed).at(points)
        u = u + self.noise * torch.randn(u.shape, generator=source, dtype=torch.float64)
        wide = w[:, None].expand(-1, count, -1)
        return torch.cat([points, u[..., None], wide], 2).reshape(self.cases * count, -1)

    def floors(self, task: Task) -> Mapping[str, Estimate | float | str]:
        """The coverage of a calibrated Gaussian."""
        unknown = "unknown: the exact posterior is"
        return {
            f"{what}_{n}": floor
            for n in self.counts
            for what, floor in (("nmse", unknown), ("coverage", _TWO_STD))
        }

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Inferred parameters against true ones, for the most sensors."""
        family: PDEFamily = task.values[self.problem]
        count, truth = max(self.counts), own.arrays["truth"]
        mean, std = own.arrays[f"mean_{count}"], own.arrays[f"std_{count}"]
        panels = []
        for i, (name, (low, high)) in enumerate(list(family.unknown.items())[:6]):
            ends = torch.tensor([low, high]).double()
            line = Series(mark="line", arrays={"x": ends, "y": ends}, hue="muted", dash="--")
            bars = {"x": truth[:, i], "y": mean[:, i], "error": 2 * std[:, i]}
            points = Series(mark="line", arrays=bars, dash="", symbol="o", size=3, alpha=0.7)
            panels.append(
                Panel(series=(line, points), title=name, x=Axis(label="true"), y=Axis(label="inferred"))
            )
        told = f"Parameters inferred from {count} sensors, with two standard deviations, against true ones."
        columns = min(3, len(panels))
        return [Figure(name="parameters", panels=tuple(panels), columns=columns, caption=told, width=320 * columns,
                       height=280 * -(-len(panels) // columns))]  # fmt: skip


def solved(family: PDEFamily, cases: int, seed: int) -> Any:
    """Numerical solutions of the problems that a question asks about; once for the method and its rivals.

    Raises:
        NotAbleError: If the family has no solver.
    """
    check_family("question", family)
    found = (_solved if _has_hash(family) else _solve)(family, cases, seed)
    if found is None:
        who = type(family).__name__
        raise NotAbleError(f"ask: {who} must have a solution to compare with. Write solution(z, w).")
    return found


def _solve(family: PDEFamily, cases: int, seed: int) -> Any:
    return family.solution(*family.draw(cases, generator(seed, _ASKED)))


_solved = lru_cache(maxsize=4)(_solve)


def _has_hash(family: PDEFamily) -> bool:
    """Whether a family can be told from others: one of a user's own may hold what cannot."""
    try:
        hash(family)
    except TypeError:
        return False
    return True


def stretched(places: Tensor, family: PDEFamily) -> Tensor:
    """Places of sensors with their outermost ones near the sides of the box."""
    d = len(family.box)
    if places.ndim != 2 or places.shape[1] != d or len(places) < 2:
        raise invalid("parameter_recovery", f"places of sensors must be (N, {d})", tuple(places.shape))
    low, high = (torch.tensor([side[i] for side in family.box.values()]).double() for i in (0, 1))
    first, last = places.amin(0), places.amax(0)
    return low + (high - low) * (0.02 + 0.96 * (places - first) / (last - first).clamp_min(1e-300))


def median(values: Tensor) -> Estimate:
    """Median of cases, with the error of the order statistics a standard deviation away."""
    n = len(values)
    ordered = values.sort().values
    reach = max(1, round(n**0.5 / 2))
    low, high = ordered[max(n // 2 - reach, 0)], ordered[min(n // 2 + reach, n - 1)]
    return Estimate(float(values.quantile(0.5)), float(high - low) / 2, n, "median")


def _chosen(places: Tensor, cases: int, count: int, source: torch.Generator) -> Tensor:
    """Some of the places for each case, ``(B, count, d)``."""
    if count > len(places):
        raise invalid("parameter_recovery", f"counts must be at most the {len(places)} sensors", count)
    return torch.stack([places[torch.randperm(len(places), generator=source)[:count]] for _ in range(cases)])


def _rows(points: Tensor, z: Tensor, w: Tensor) -> Tensor:
    """Points with the parameters of their case, ``(B N, d + Z + W)``."""
    cases, n = points.shape[:2]
    wide = [part[:, None].expand(-1, n, -1) for part in (z, w)]
    return torch.cat([points, *wide], 2).reshape(cases * n, -1)


def _distribution(answer: Any, verb: str) -> Predictive:
    if not isinstance(answer, Predictive):
        raise NotAbleError(f"ask: {verb} must answer with a distribution, got {type(answer).__name__}")
    return answer


# --- pictures ------------------------------------------------------------------------------------------------


def _picture(family: PDEFamily) -> Tensor:
    """A regular grid of the box, ``(N, d)``."""
    side = _SIDE[len(family.box)]
    lines = [torch.linspace(low, high, side, dtype=torch.float64) for low, high in family.box.values()]
    return torch.cartesian_prod(*lines).reshape(-1, len(lines))


def _line_panels(family: PDEFamily, own: Measured, rivals: Mapping[str, Measured]) -> tuple[Panel, ...]:
    x, panels = _picture(family)[:, 0], []
    for i, nmse in enumerate(own.arrays["nmse"].tolist()):
        mean, std, truth = (own.arrays[name][i] for name in ("mean", "std", "truth"))
        series = [
            Series(mark="band", arrays={"x": x, "low": mean - 2 * std, "high": mean + 2 * std}, hue=0),
            Series(mark="line", arrays={"x": x, "y": mean}, name="the method", hue=0),
        ]
        for hue, (name, one) in enumerate(rivals.items(), start=1):
            theirs = one.arrays["every_mean"][own.arrays["which"][i]]
            series.append(Series(mark="line", arrays={"x": x, "y": theirs}, name=name, hue=hue, dash="--"))
        dots = {"x": x[::5], "y": truth[::5]}
        series.append(Series(mark="points", arrays=dots, name="truth", hue="muted", symbol="o", size=12))
        title = f"{('best', 'median', 'worst')[i]}: {nmse:.1e}"
        panels.append(Panel(series=tuple(series), title=title, x=Axis(label=family.axes[0]),
                            y=Axis(label=family.component), legend="below" if i == 0 else ""))  # fmt: skip
    return tuple(panels)


def _map_panels(family: PDEFamily, own: Measured, rivals: Mapping[str, Measured]) -> tuple[Panel, ...]:
    """Truth above, the method below."""
    (left, right), (low, high) = family.box.values()
    side, panels = _SIDE[2], []
    for name in ("truth", "mean"):
        for i, nmse in enumerate(own.arrays["nmse"].tolist()):
            image, top = own.arrays[name][i].reshape(side, side).T, float(own.arrays["truth"][i].max())
            heat = Series(
                mark="heat", arrays={"values": image, "extent": (left, right, low, high)}, low=0, high=top
            )
            title = "truth" if name == "truth" else f"{('best', 'median', 'worst')[i]}: {nmse:.1e}"
            panels.append(
                Panel(series=(heat,), title=title, x=Axis(label=family.axes[0]), y=Axis(label=family.axes[1]))
            )
    return tuple(panels)
