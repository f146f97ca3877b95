"""Quality of completed series: entries of the test part are hidden, and the members compared with them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Interval
from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Count
from interpolants.foundations.randomness import generator
from interpolants.framework.figures import Axis, Figure, Panel
from interpolants.framework.figures import Series as Mark
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Question
from interpolants.framework.series import Series
from interpolants.framework.task import Task
from interpolants.methods.questions.calls import with_seed
from interpolants.methods.questions.series_parts import BANDS, all_series_of, named
from interpolants.metrics.quantile_loss import loss_of_cases, within


@dataclass(frozen=True, kw_only=True)
class CompletionQuality(Question):
    """Stretches of the test part, evenly spread, with a share of their entries hidden."""

    needs: ClassVar[str] = "complete"
    numbers: ClassVar[Mapping[str, About]] = {
        "quantile_loss": About("Normalised quantile loss", note="Of the hidden entries, over deciles."),
        "coverage": About(
            "Coverage",
            "neither",
            note="Share of the hidden entries within the central interval, 80 % unless said.",
        ),
    }

    role: str = "series"
    """Role of the series."""
    pieces: Count = 3
    """Number of stretches."""
    length: Annotated[int, Ge(2)] = 168
    """Their length."""
    share: Annotated[float, Interval(gt=0, lt=1)] = 0.5
    """Share of the entries that are hidden."""
    pattern: Literal["random", "block", "begin", "end"] = "random"
    """Which: ``"random"``, or a block in the middle (``"block"``), at the beginning or at the end."""
    members: Count = 20
    """Members of each ensemble."""
    level: Annotated[float, Interval(gt=0, lt=1)] = 0.8
    """Probability of the interval whose coverage is measured."""
    seed: int = 1
    """Seed of what is hidden, and of the ensembles."""

    def measure(self, method: Method, task: Task) -> Measured:
        """Scores by stretch, and the first stretch for the figure."""
        every = all_series_of("completion_quality", task, self.role)
        pieces = [piece for one in every for piece in self._pieces(one, task)]
        hidden = [self._hidden(piece, k) for k, piece in enumerate(pieces)]
        # Stretches in which nothing was seen that is hidden cannot be judged.
        kept = [k for k, one in enumerate(hidden) if bool(one.any())]
        if not kept:
            rule = "some stretch must have values where they are hidden"
            raise invalid("completion_quality", rule, f"gaps in all {len(pieces)}", "Take longer stretches.")
        pieces, hidden = [pieces[k] for k in kept], [hidden[k] for k in kept]
        members = torch.stack(
            [self._completed(method, p, h, k) for k, (p, h) in enumerate(zip(pieces, hidden, strict=True))]
        )
        truth, count = torch.stack([piece.values for piece in pieces]), torch.stack(hidden)
        covered = (within(members, truth, self.level) & count).double()
        return Measured(
            {
                "quantile_loss": loss_of_cases(members, truth, count),
                "coverage": covered.flatten(1).sum(1) / count.double().flatten(1).sum(1),
            },
            {
                "bands": members[0, ..., 0].quantile(torch.tensor(BANDS).double(), 0),
                "seen": torch.where(hidden[0], torch.nan, pieces[0].with_gaps())[:, 0],
                "hidden": torch.where(hidden[0], truth[0], torch.nan)[:, 0],
            },
        )

    def _pieces(self, series: Series, task: Task) -> list[Series]:
        rows = task.rows[task.axes[self.role]]["test"]
        first, last = int(rows[0]), int(rows[-1]) + 1 - self.length
        if last < first:
            rule = f"the test must have at least {self.length} steps"
            raise invalid("completion_quality", rule, len(rows), "Take a smaller length.")
        starts = [first + round(k * (last - first) / max(self.pieces - 1, 1)) for k in range(self.pieces)]
        return [series[start : start + self.length] for start in starts]

    def _hidden(self, piece: Series, k: int) -> Tensor:
        """Which entries are hidden: of those seen, ``(T, C)`` bool."""
        n = self.length
        count = max(1, round(self.share * n))
        order = torch.randperm(n, generator=generator(self.seed, "hidden", k))
        starts = {"begin": 0, "block": (n - count) // 2, "end": n - count}
        times = order[:count] if self.pattern == "random" else torch.arange(count) + starts[self.pattern]
        found = torch.zeros_like(piece.seen)
        found[times] = piece.seen[times]
        return found

    def _completed(self, method: Method, piece: Series, hidden: Tensor, k: int) -> Tensor:
        seen = piece.seen & ~hidden
        given = replace(piece, values=torch.where(seen, piece.values, 0.0), seen=seen)
        answer: Any = method
        options = with_seed(method, "complete", self.seed + k)
        found: Tensor = answer.complete(given, members=self.members, **options).x
        return found[0].double()

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """The first stretch: what was seen, what was hidden, the members, and the median of the first rival."""
        name = named(all_series_of("completion_quality", task, self.role)[0])
        bands = own.arrays["bands"]
        place = torch.arange(bands.shape[1], dtype=torch.float64)
        marks = [
            Mark(mark="band", arrays={"x": place, "low": bands[0], "high": bands[4]}, name="90 %", alpha=1.5),
            Mark(mark="line", arrays={"x": place, "y": bands[2]}, name="median"),
            *(
                Mark(
                    mark="line",
                    arrays={"x": place, "y": one.arrays["bands"][2]},
                    name=rival,
                    hue=2,
                    dash="--",
                )
                for rival, one in list(rivals.items())[:1]
            ),
            Mark(
                mark="points", arrays={"x": place, "y": own.arrays["seen"]}, name="seen", hue="muted", size=3
            ),
            Mark(mark="points", arrays={"x": place, "y": own.arrays["hidden"]}, name="hidden", hue=1, size=4),
        ]
        y = Axis(label=name)
        panel = Panel(series=tuple(marks), x=Axis(label="step"), y=y, legend="below", legend_columns=5)
        caption = f"Median and 90 % of {self.members} members; {self.share:.0%} of the entries were hidden."
        return [Figure(name="completed", panels=(panel,), caption=caption, width=760, height=290)]
