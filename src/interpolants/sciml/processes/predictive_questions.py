"""Questions to models of short series: what they generate freely, and how they go on, by horizon and effort."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.foundations import asked
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Count, Whole
from interpolants.foundations.randomness import generator
from interpolants.framework.figures import Axis, Figure, Panel
from interpolants.framework.figures import Series as Mark
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.series import Series
from interpolants.framework.task import Task
from interpolants.methods.questions.calls import with_seed
from interpolants.methods.questions.series_parts import lines, part_series_of
from interpolants.metrics.estimate import Estimate
from interpolants.sciml.processes.metrics.symbol_blocks import symbol_block_divergence
from interpolants.sciml.processes.problems.symbol_skeletons import SymbolSkeletons
from interpolants.sciml.processes.pvrnn import PVRNN

_SHOWN, _FORGOTTEN = 12, 6


@dataclass(frozen=True, kw_only=True)
class FreeGeneration(Question):
    """What sequences of symbols are like that a model generates without data, beside their exact law.

    A value above 1/2 is a one: what is judged is the randomness of the states, not that of a coin at the output.
    """

    needs: ClassVar[str] = "sample"
    numbers: ClassVar[Mapping[str, About]] = {
        "obeyed": About("Periods that obey the skeleton", "higher", note="With the phase of each sequence found."),
        "chance": About("Frequency of ones at the free place", "neither"),
        "chance_off": About("Its distance from the truth", floor_of="the truth"),
        "blocks": About(
            "Divergence of blocks of symbols", unit="nats", floor_of="as many sequences of the problem itself"
        ),
        "spread_ratio": About(
            "Deviation of the prior at or before the free symbol over that of the quietest phase",
            "neither", note="Median over sequences.",
        ),
        "complexity": About("Divergence of posterior and prior", "neither", unit="nats a step"),
        "misfit": About("Misfit of the training series", "neither", unit="nats a step"),
        "exponent": About("Largest Lyapunov exponent without noise", "neither", unit="1/step"),
    }  # fmt: skip

    role: str = "series"
    """Role of the series; its problem must be one of symbols in skeletons."""
    n: Annotated[int, Ge(2)] = 400
    """Sequences."""
    steps: Count = 60
    """Their length."""
    block: Annotated[int, Ge(2)] = 6
    """Symbols of a block."""
    seed: Whole = 1
    """Seed of the sequences."""

    def check_settings(self) -> None:
        """Refuse sequences that end before a block of them counts."""
        if self.steps < _FORGOTTEN + self.block:
            raise asked.invalid(
                f"steps must be >= {_FORGOTTEN + self.block}, {_FORGOTTEN} + block", self.steps
            )

    def measure(self, method: Method, task: Task) -> Measured:
        """Numbers, some sequences, and deviations by phase."""
        truth = self._truth(task)
        answer: Any = method
        if isinstance(method, PVRNN):
            made = method.generate(self.n, steps=self.steps, seed=self.seed)
            x, spread = made.mean, made.spread
        else:
            x, spread = answer.sample(self.n, steps=self.steps, seed=self.seed).double(), None
        x = (x > 0.5).double()
        free = truth.free(x)
        share = x[..., 0][free].mean()
        values: dict[str, Number] = {
            "obeyed": truth.obeyed(x),
            "chance": float(share),
            "chance_off": abs(float(share) - truth.chance),
            "blocks": self._divergence(truth, x),
        }
        arrays = {"shown": x[:_SHOWN, :, 0]}
        if isinstance(method, PVRNN) and spread is not None:
            found = method.inferred()
            values["complexity"] = found.divergence.sum(2).nanmean(1)
            values["misfit"] = found.misfit.nanmean(1)
            values["exponent"] = float(method.exponents().exponents[0])
            arrays["spread"] = phases = by_phase(spread.mean(2), free)
            values["spread_ratio"] = float((phases[:, :2].amax(1) / phases.amin(1)).nanmedian())
            arrays["divergence"] = found.divergence.nanmean(0)
        return Measured(values, arrays)

    def floors(self, task: Task) -> Mapping[str, Estimate | float | str]:
        """The problem itself."""
        truth = self._truth(task)
        draws = generator(self.seed, "sequences of the problem")
        long = SymbolSkeletons(truth.patterns, chance=truth.chance, length=self.steps, aligned=truth.aligned)
        return {"blocks": self._divergence(truth, long.sample(self.n, generator=draws)), "chance_off": 0.0}

    def _divergence(self, truth: SymbolSkeletons, x: Tensor) -> Estimate:
        source = generator(self.seed, "bootstrap of blocks")
        return symbol_block_divergence(x[..., 0].long(), truth.block_law(self.block), generator=source)

    def _truth(self, task: Task) -> SymbolSkeletons:
        truth = task.truths.get(self.role)
        if not isinstance(truth, SymbolSkeletons):
            remedy = "Use problem = 'stochastic_skeleton'."
            raise invalid(
                "free_generation", "the series must come from skeletons", type(truth).__name__, remedy
            )
        return truth

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Some sequences, and the deviations of the prior by phase."""
        shown = own.arrays["shown"]
        picture = Mark(mark="heat", arrays={"values": shown}, low=0, high=1)
        panels = [Panel(series=(picture,), title="generated", x=Axis(label="step"), y=Axis(label="sequence"))]
        if "spread" in own.arrays:
            marks = []
            for k, (name, one) in enumerate({"the method": own, **rivals}.items()):
                if "spread" in one.arrays:
                    y = one.arrays["spread"].nanmean(0)
                    x = torch.arange(len(y)).double()
                    marks.append(
                        Mark(
                            mark="line",
                            arrays={"x": x, "y": y},
                            name=name.replace("_", " "),
                            hue=k,
                            symbol="o",
                        )
                    )
            axis = Axis(label="phase", ticks=(0.0, 1.0, 2.0), names=("before X", "at X", "others"))
            panels.append(
                Panel(
                    series=tuple(marks), title="deviation of the prior", x=axis, y=Axis(low=0), legend="below"
                )
            )
        caption = "Left: sequences of the method. Right: deviation of the latent noise, with phases found."
        return [Figure(name="free", panels=tuple(panels), caption=caption, width=760, height=300)]


def by_phase(spread: Tensor, free: Tensor) -> Tensor:
    """Mean deviation of each sequence one step before a free symbol, at it, and elsewhere, ``(n, 3)``.

    Args:
        spread: Of each step, ``(n, T)``.
        free: Where the free symbols are, ``(n, T)``.
    """
    spread, free = spread[:, _FORGOTTEN:], free[:, _FORGOTTEN:]
    before = torch.nn.functional.pad(free[:, 1:], (0, 1))
    masks = (before & ~free, free, ~before & ~free)
    return torch.stack([(spread * one).sum(1) / one.sum(1) for one in masks], 1)


@dataclass(frozen=True, kw_only=True)
class Continuations(Question):
    """How test series go on: squared errors by horizon, given their first values."""

    needs: ClassVar[str] = "forecast"
    numbers: ClassVar[Mapping[str, About]] = {
        "error": About(
            "Squared error of the mean", unit="squared deviations", floor_of="the exact forecast",
            note="Over steps and columns, in units of the columns' variance over the test.",
        ),
        "ratio": About("Error over that of the prior", note="Which is told nothing of the series."),
        "over_last": About("Error over that of the last value"),
        "persistence": About("Error of the last value", "neither", unit="squared deviations"),
        "least_effort": About("Error at the fewest iterations", "neither", unit="squared deviations"),
    }  # fmt: skip

    role: str = "series"
    """Role of the series."""
    known: Count = 12
    """Values that are given."""
    steps: Count = 6
    """Steps ahead."""
    members: Count = 50
    """Members of each forecast, whose mean is judged."""
    efforts: tuple[Whole, ...] = ()
    """Numbers of iterations of error regression for the figure, of methods that have it."""
    most: Count = 200
    """Most test series."""
    seed: Whole = 1
    """Seed of the members."""

    def measure(self, method: Method, task: Task) -> Measured:
        """Errors by series; and by step, and effort, for the figures."""
        many = self._series(task)
        truth = torch.stack([one.values[self.known : self.known + self.steps] for one in many])
        seen = torch.stack([one.seen[self.known : self.known + self.steps] for one in many])
        scale = _variance(many)
        past = [one[: self.known] for one in many]
        last = torch.stack([one.values[-1:] for one in past])

        def error(mean: Tensor) -> Tensor:
            return torch.where(seen, (mean - truth).square() / scale, torch.nan)

        own = error(self._means(method, past))
        values: dict[str, Number] = {"error": _by_series(own), "persistence": _by_series(error(last))}
        values["over_last"] = float(own.nanmean() / error(last).nanmean())
        arrays = {"by_step": own.nanmean((0, 2)), "persistence": error(last).nanmean((0, 2))}
        if isinstance(method, PVRNN):
            prior = error(self._means(method, past, iterations=0))
            values["ratio"] = float(own.nanmean() / prior.nanmean())
            arrays["prior"] = prior.nanmean((0, 2))
            if self.efforts:
                tried = [error(self._means(method, past, iterations=k)).nanmean() for k in self.efforts]
                arrays["efforts"] = torch.stack(tried)
                values["least_effort"] = float(tried[0])
        return Measured(values, arrays)

    def floors(self, task: Task) -> Mapping[str, Estimate | float | str]:
        """The exact forecast, where the problem has one."""
        truth = task.truths.get(self.role)
        if not isinstance(truth, SymbolSkeletons):
            return {}
        many = self._series(task)
        x = torch.stack([one.values for one in many])
        exact = truth.forecast(x[:, : self.known], self.steps)
        each = (exact - x[:, self.known : self.known + self.steps]).square() / _variance(many)
        error = each.mean((1, 2))
        return {
            "error": Estimate(
                float(error.mean()), float(error.std()) / len(error) ** 0.5, len(error), "error"
            )
        }

    def _series(self, task: Task) -> list[Series]:
        many = part_series_of("continuations", task, self.role)
        ends = [int(one.seen.any(1).nonzero()[-1]) + 1 if bool(one.seen.any()) else 0 for one in many]
        long = [one for one, end in zip(many, ends, strict=True) if end >= self.known + self.steps]
        if not long:
            rule = f"a test series must have {self.known} + {self.steps} values"
            raise invalid(
                "continuations", rule, f"at most {max(ends)}", "Use fewer observed values, or fewer steps."
            )
        return long[: self.most]

    def _means(self, method: Any, past: list[Series], **more: Any) -> Tensor:
        """Means of forecasts, ``(B, S, C)``; methods of one series are asked for each."""
        options = {
            "members": self.members,
            "steps": self.steps,
            **with_seed(method, "forecast", self.seed),
            **more,
        }
        if getattr(type(method), "takes_many", False):
            found: Tensor = method.forecast(past, **options).x.mean(1)
            return found.double()
        return torch.cat([method.forecast(one, **options).x.mean(1) for one in past]).double()

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Errors by step ahead, and by iterations."""
        by_step = {"the method": own.arrays["by_step"]}
        by_step |= {name.replace("_", " "): one.arrays["by_step"] for name, one in rivals.items()}
        last = own.arrays["persistence"]
        if float(last.max()) <= 2 * max(
            float(one.max()) for one in by_step.values()
        ):  # else the rest would be flat
            by_step["last value"] = last
        axis = Axis(label="squared error", low=0)
        panels = [
            Panel(
                series=lines(by_step), title="by horizon", x=Axis(label="steps ahead"), y=axis, legend="below"
            )
        ]
        if "efforts" in own.arrays:
            x = torch.tensor(self.efforts, dtype=torch.float64)
            mark = Mark(mark="line", arrays={"x": x, "y": own.arrays["efforts"]}, symbol="o")
            panels.append(Panel(series=(mark,), title="by effort", x=Axis(label="iterations"), y=axis))
        caption = f"Errors of the mean of {self.members} members, given {self.known} values."
        return [Figure(name="continuations", panels=tuple(panels), caption=caption, width=760, height=320)]


def _variance(many: Sequence[Series]) -> Tensor:
    """Of each column over all that was seen, ``(C,)``."""
    gaps = torch.cat([one.with_gaps() for one in many])
    return (gaps - gaps.nanmean(0)).square().nanmean(0).clamp_min(1e-12)


def _by_series(error: Tensor) -> Tensor:
    return error.flatten(1).nanmean(1)
