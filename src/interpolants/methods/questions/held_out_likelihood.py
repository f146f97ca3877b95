"""Log-likelihood of held-out rows, beside the exact density where it is known."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.foundations.checked import Checked
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.frames import FramedFields
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.roles import read, take
from interpolants.framework.scores import Finding
from interpolants.framework.task import Task
from interpolants.likelihood.result import Density
from interpolants.methods.questions.calls import conditions, options_for, unknown_option
from interpolants.methods.questions.distances import as_tensor, real_rows
from interpolants.metrics.estimate import Estimate

_CAPTION = "Log densities of held-out and of training rows; the two agree where nothing was learnt by heart."


@dataclass(frozen=True, kw_only=True)
class HeldOutLikelihood(Question, Checked):
    """How likely held-out rows are under the method, and whether training rows are likelier.

    A method that has learnt a log density of its own (``fields.log_density_of``) is also asked how far that is from the
    density of its flow: the two agree where the learnt density obeys the flow's continuity equation.
    """

    needs: ClassVar[str] = "log_prob"
    numbers: ClassVar[Mapping[str, About]] = {
        "log_likelihood": About("Held-out log-likelihood", "higher", "nats", floor_of="the exact density"),
        "log_likelihood_per_dim": About(
            "Held-out log-likelihood per dimension", "higher", "nats/dim", floor_of="the exact density"
        ),
        "log_likelihood_train": About(
            "Log-likelihood of training rows",
            "neither",
            "nats",
            "Overfitted where it is much above that of held-out rows.",
            floor_of="the exact density",
        ),
        "log_density_mismatch": About(
            "Own log density less that of the flow, standard deviation",
            "lower",
            "nats",
            "Zero where the learnt density obeys the continuity equation of its flow; its SDEs then agree.",
            floor_of="a density that obeys the equation",
        ),
    }

    role: str = "x1"
    """Role of the rows."""
    n: Annotated[int, Ge(2)] = 500
    """Most rows."""
    options: Mapping[str, Any] | None = None
    """Options of ``log_prob``, such as ``divergence``, ``method``, ``n_steps``."""

    def cannot(self, method: Method) -> str:
        """Options that the method does not know."""
        return unknown_option(method, "log_prob", self.options)

    def measure(self, method: Method, task: Task) -> Measured:
        """Log densities by row."""
        held, dims = self._log_prob(method, task, "test"), real_rows(task, self.role)[0].numel()
        train = self._log_prob(method, task, "train")
        values: dict[str, Number] = {
            "log_likelihood": held,
            "log_likelihood_per_dim": held / dims,
            "log_likelihood_train": train,
            **self._mismatch(method, task, held),
        }
        told = [*_impossible(held), *_overfitted(held, train), *_of_the_method(method)]
        return Measured(values, {"held_out": held, "train": train}, findings=told)

    def _log_prob(self, method: Method, task: Task, part: str) -> Tensor:
        x = take(task.part(part)[self.role], slice(0, self.n))
        known = conditions(method, "log_prob", task, len(x), part)
        options = options_for(method, "log_prob", self.options)
        return as_tensor(getattr(method, self.needs)(x, **known, **options)).double()

    def _mismatch(self, method: Method, task: Task, log_q: Tensor) -> dict[str, Number]:
        if not isinstance(method, FramedFields):
            return {}
        if method.fields.log_density_of(None) is None:
            return {}
        rows = real_rows(task, self.role)[: len(log_q)]
        known = conditions(method, "log_prob", task, len(log_q))
        told = [role for role in method.roles() if role.name == "cond" and "cond" in known]
        as_learnt = read(told, known, "held_out_likelihood", before=method.given, rows=len(rows))[0]
        density = method.fields.log_density_of(as_learnt.get("cond"))
        assert density is not None
        x = method.frame.encode(rows).float()
        with torch.no_grad():
            apart = density(x, torch.ones(len(x))).double() - (log_q - method.frame.log_volume(rows.double()))
        spread = float(apart.std())
        return {"log_density_mismatch": Estimate(spread, spread / math.sqrt(2 * len(x)), len(x), "mismatch")}

    def floors(self, task: Task) -> Mapping[str, Estimate | float | str]:
        """The exact density at the same rows; no mismatch."""
        least: dict[str, Estimate | float | str] = {"log_density_mismatch": 0.0}
        law = task.truths.get(self.role)
        if not isinstance(law, Density):
            return least
        for name, part in (("log_likelihood", "test"), ("log_likelihood_train", "train")):
            values = torch.as_tensor(law.log_prob(real_rows(task, self.role, part)[: self.n])).double()
            error = float(values.std()) / math.sqrt(len(values))
            least[name] = Estimate(float(values.mean()), error, len(values), "exact")
        exact, dims = least["log_likelihood"], real_rows(task, self.role)[0].numel()
        assert isinstance(exact, Estimate)
        scaled = Estimate(exact.value / dims, exact.error / dims, exact.n, "exact")
        return {**least, "log_likelihood_per_dim": scaled}

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Histograms of log densities at held-out and at training rows."""
        held, train = own.arrays["held_out"], own.arrays["train"]
        held, train = (x[x.isfinite()] for x in (held, train))
        if not len(held) or not len(train):
            return []
        both = torch.cat([held, train])
        low, high = (float(torch.quantile(both, q)) for q in (0.005, 0.995))
        named = {"held-out": held, "training": train}
        lines = [_outline(x, low, high, name, k) for k, (name, x) in enumerate(named.items())]
        panel = Panel(
            series=tuple(lines),
            x=Axis(label="log density", unit="nats"),
            y=Axis(label="share of rows"),
            legend="below",
        )
        return [Figure(name="log_densities", panels=(panel,), caption=_CAPTION, width=460, height=280)]


def _impossible(held: Tensor) -> list[Finding]:
    """A finding where rows cannot come from the method at all: their mean log density says no more than that."""
    rows = (held == -math.inf).nonzero().flatten().tolist()
    if not rows:
        return []
    told = f"{len(rows)} of {len(held)} held-out rows have density zero (row {', '.join(map(str, rows[:3]))}, ...), "
    told += "so that their mean log density is minus infinity. Usual cause: a column that was constant in the fit has "
    return [
        Finding(f"{told}another value there. Leave such columns out, or give the fit rows that vary in them.")
    ]


def _of_the_method(method: Method) -> list[Finding]:
    """What the method itself says against its densities; kept in its state, so that a resumed run says it too."""
    caveat = method.caveat("log_prob")
    return [Finding(caveat, grave=False)] if caveat else []


def _overfitted(held: Tensor, train: Tensor) -> list[Finding]:
    """A finding where training rows are likelier than held-out rows by more than two standard errors."""
    gap = float(train.mean() - held.mean())
    error = math.hypot(*(float(x.std()) / math.sqrt(len(x)) for x in (held, train)))
    if not gap > 2 * error:
        return []
    told = f"Overfitted: the log density of training rows is {gap:.3g} ± {error:.2g} nats above that of held-out rows."
    return [Finding(told, remedy="Learn from more rows, for fewer steps or with a smaller network.")]


def _outline(x: Tensor, low: float, high: float, name: str, hue: int, bins: int = 30) -> Series:
    counts, edges = torch.histogram(x.clamp(low, high), bins, range=(low, max(high, low + 1e-6)))
    return Series(mark="histogram", arrays={"edges": edges, "counts": counts / len(x)}, name=name, hue=hue)
