"""How samples change with the noise level of the SDE: distances and cost at each level, agreement of ODE and SDE."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.foundations.kinds import Check, Count
from interpolants.framework.figures import Axis, Figure, Panel, Series, across
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.task import Task
from interpolants.methods.questions.calls import MAKING, Made, generate, takes, unknown_option
from interpolants.methods.questions.distances import Distances, column_names, pooled_rows, real_rows
from interpolants.methods.questions.levels import check_levels, level_id, level_name, level_options
from interpolants.methods.questions.sample_quality import samples_figure
from interpolants.metrics.estimate import Estimate

GAP = "ode_against_sde"
_FAR = 5  # ratio from which curves near the floor need a logarithmic axis to be told apart
_CURVE = "Distance to held-out data by noise level, with standard errors; dashed: two sets of real data."


@runtime_checkable
class ChoosesEps(Protocol):
    """A method that may have chosen its noise level.

    Attributes:
        eps_choice: The choice; None before it.
    """

    @property
    def eps_choice(self) -> Any: ...  # noqa: D102


@dataclass(frozen=True, kw_only=True)
class NoiseLevels(Question):
    """How far rows made at each noise level are from held-out rows.

    Where the method carries rows of ``start``, the test rows of that role are carried; else it draws its own starts.
    Scores are named after the distance and the level: ``sliced_w2_ode``, ``sliced_w2_eps_0_5``. A rival without a noise
    level has one number for all of them.
    """

    needs: ClassVar[str] = "sample"

    role: str = "x1"
    """Role that the rows should look like."""
    start: str = "x0"
    """Role of the starts. The other way round: ``role = "x0"``, ``start = "x1"``, ``options = { reverse = true }``."""
    eps: Annotated[Sequence[float | str], Check(check_levels, 'several (number >= 0 | "auto")')] = (0.0, 0.5)
    """Noise levels: numbers, or ``"auto"`` where the method can choose one. 0 is the ODE."""
    distances: Sequence[str] = ("sliced_w2", "energy_distance")
    """Two-sample metrics, by the name that their cards declare as ``two_sample``."""
    n: Annotated[int, Ge(2)] = 2000
    """Most rows to make."""
    seed: int = 1
    """Seed of the samples and of the metrics' directions."""
    units: Literal["standard", "data"] = "standard"
    """``"standard"``: columns over their standard deviation in the training rows, images over one for all pixels; or
    ``"data"``."""
    shown: Count = 2000
    """Most rows to keep for pictures."""
    options: Mapping[str, Any] | None = None
    """Options of the verb at every level, such as ``n_steps``."""
    sde: Mapping[str, Any] | None = None
    """Further options where the level is not 0, such as ``method``."""

    def check_settings(self) -> None:
        """Refuse distances that there are not."""
        assert self._distances

    @property
    def _distances(self) -> Distances:
        return Distances(self.distances, self.seed, self.units)

    @property
    def _to(self) -> str:
        return "held-out data" if self.role == "x1" else f"held-out {self.role}"

    def about(self, name: str) -> About:
        """What a distance at a level means."""
        if name == GAP:
            title = f"{self._distances.about(self.distances[0], 'x').title[:-5]} between ODE and SDE"
            note = "Both have the same distribution if the fields are exact."
            return About(title, "lower", note=note, floor_of="two sets of real data")
        one = next(d for d in sorted(self.distances, key=len, reverse=True) if name.startswith(f"{d}_"))
        level = next(eps for eps in self.eps if name == f"{one}_{level_id(eps)}")
        return self._distances.about(one, f"{self._to}, {level_name(level)}")

    def cannot(self, method: Method) -> str:
        """A method without noise levels, or with other options."""
        if not takes(method, "sample", "eps"):
            return "its samples have no noise level."
        return unknown_option(method, MAKING, {**(self.options or {}), **(self.sde or {})})

    def measure(self, method: Method, task: Task) -> Measured:
        """Distances at each level; the rows; a table."""
        real = real_rows(task, self.role)[: self.n]
        made = {level_id(eps): self._made(method, task, eps, len(real)) for eps in self._levels(method)}
        scaled = self._distances.scaled(task, self.role)
        units = {name: scaled(one.x) for name, one in made.items()}
        found = {name: self._distances.between(x, scaled(real)) for name, x in units.items()}
        values: dict[str, Number] = {
            f"{distance}_{level_id(eps)}": found.get(level_id(eps), next(iter(found.values())))[distance]
            for distance in self.distances
            for eps in self.eps
        }
        values |= self._gap(units)
        arrays = {"real": real[: self.shown]} | {
            f"samples/{name}": one.x[: self.shown] for name, one in made.items()
        }
        labels = _labels(next(iter(made.values())))
        arrays |= {} if labels is None else {"labels": labels[: self.shown]}
        return Measured(values, arrays, self._texts(method, made, found))

    def _levels(self, method: Method) -> Sequence[float | str]:
        return self.eps if takes(method, "sample", "eps") else self.eps[:1]

    def _made(self, method: Method, task: Task, eps: float | str, n: int) -> Made:
        options = {"seed": self.seed, **level_options(eps, self.options, self.sde)}
        return generate(method, task, n, start=self.start, options=options)

    def _gap(self, made: Mapping[str, Tensor]) -> dict[str, Number]:
        """Distance between the flow's rows and those of the first SDE, which start from the same points."""
        noisy = [name for name in made if name != "ode"]
        if "ode" not in made or not noisy:
            return {}
        return {GAP: self._distances.between(made["ode"], made[noisy[0]])[self.distances[0]]}

    def _texts(
        self, method: Method, made: Mapping[str, Made], found: Mapping[str, Mapping[str, Estimate]]
    ) -> dict[str, Sequence[str]]:
        head = [
            "noise level",
            "solver",
            "evaluations",
            *(self._distances.found[d][0].title for d in self.distances),
        ]
        lines = [_cells(head), _cells(["---", "---", *("---:" for _ in head[2:])])]
        for eps in self.eps:
            if (one := made.get(level_id(eps))) is not None:
                cost = "–" if one.nfe is None else f"{one.nfe:g}"
                numbers = [f"{e.value:.4g} ± {e.error:.2g}" for e in found[level_id(eps)].values()]
                lines.append(_cells([level_name(eps), one.solver or "–", cost, *numbers]))
        texts: dict[str, Sequence[str]] = {f"Noise levels, {self._to}": lines}
        choice = method.eps_choice if isinstance(method, ChoosesEps) else None
        if "auto" in self.eps and choice is not None:
            texts["How the noise level was chosen"] = [*choice.table().splitlines(), "", choice.reason]
        return texts

    def floors(self, task: Task) -> Mapping[str, Estimate]:
        """Distances between random sets of real data of these sizes, the same for each level."""
        least = self._least(task)
        every = {f"{d}_{level_id(eps)}": least[d] for d in self.distances for eps in self.eps}
        return {**every, GAP: least[self.distances[0]]}

    def _least(self, task: Task) -> dict[str, Estimate]:
        n = min(self.n, len(real_rows(task, self.role)))
        pool = self._distances.scaled(task, self.role)(pooled_rows(task, self.role))
        return self._distances.floors(pool, n, n)

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Rows at each level beside real ones, and the first distance against the level."""
        sets = {"real": own.arrays["real"]}
        sets |= {
            level_name(e): own.arrays[f"samples/{level_id(e)}"]
            for e in self.eps
            if f"samples/{level_id(e)}" in own.arrays
        }
        caption = f"Rows made at each noise level beside {self._to}."
        given: dict[str, Any] = {"labels": own.arrays.get("labels"), "columns": column_names(task, self.role)}
        shown = samples_figure("samples", sets, most=6, caption=caption, **given)
        return [shown] if len(self.eps) < 2 else [shown, self._curve(own, rivals, task)]

    def _curve(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Figure:
        distance = self.distances[0]
        names = [f"{distance}_{level_id(eps)}" for eps in self.eps]
        x = torch.arange(len(names), dtype=torch.float64)
        y, error = _numbers([own.values[name] for name in names])
        least = self._least(task)
        line = Series(mark="line", arrays={"x": x, "y": y, "error": error}, name="the method", symbol="o")
        lines = [line, across(least[distance].value, "two real sets")]
        for hue, (name, other) in enumerate(rivals.items(), start=1):
            there, _ = _numbers([other.values[key] for key in names])
            arrays = {"x": x, "y": there}
            lines.append(Series(mark="line", arrays=arrays, name=name.replace("_", " "), hue=hue, dash=":"))
        ticks = tuple(float(k) for k in range(len(names)))
        shown = Axis(label="noise level", ticks=ticks, names=tuple(level_name(eps) for eps in self.eps))
        about = self.about(names[0])
        every = torch.cat([s.arrays["y"].double().reshape(-1) for s in lines])
        wide = float(every.min()) > 0 and float(every.max()) > _FAR * float(every.min())
        scale: dict[str, Any] = {"scale": "log"} if wide else {"low": 0.0}
        label = Axis(label=self._distances.found[distance][0].title, unit=about.unit, **scale)
        panel = Panel(series=tuple(lines), x=shown, y=label, legend="below")
        return Figure(name="levels", panels=(panel,), caption=_CURVE, width=460, height=360)


def _numbers(values: Sequence[Number]) -> tuple[Tensor, Tensor]:
    found = [(v.value, v.error) if isinstance(v, Estimate) else (float(v), 0.0) for v in values]
    pairs = torch.tensor(found, dtype=torch.float64)
    return pairs[:, 0], pairs[:, 1]


def _labels(made: Made) -> Tensor | None:
    """Whole numbers that were asked for, one a row; those of the test rows in turn."""
    found = (value for value in (made.asked or {}).values() if isinstance(value, Tensor))
    return next((value for value in found if value.ndim == 1 and not value.is_floating_point()), None)


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
