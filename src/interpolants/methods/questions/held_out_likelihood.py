"""Log-likelihood of held-out rows, beside the exact density where it is known."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.foundations.asked import who
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.frames import FramedFields
from interpolants.framework.question_form import Ask, question
from interpolants.framework.questions import About, Floors, Measured, Number
from interpolants.framework.roles import read, take
from interpolants.framework.task import Task
from interpolants.likelihood.result import Density
from interpolants.methods.questions.calls import conditions, options_for, unknown_option
from interpolants.methods.questions.distances import as_tensor, column_names, real_rows
from interpolants.metrics.estimate import Estimate

_LAW = "the exact density"
_CAPTION = "Log densities of held-out and of training rows; the two agree where nothing was learnt by heart."


def _exact(question: Any, task: Task) -> Floors:
    """The exact density at the same rows."""
    law = task.truths.get(question.role)
    if not isinstance(law, Density):
        return {}
    least: dict[str, Estimate] = {}
    for name, part in (("log_likelihood", "test"), ("log_likelihood_train", "train")):
        values = torch.as_tensor(law.log_prob(real_rows(task, question.role, part)[: question.n])).double()
        error = float(values.std()) / math.sqrt(len(values))
        least[name] = Estimate(float(values.mean()), error, len(values), "exact")
    exact, dims = least["log_likelihood"], len(column_names(task, question.role))
    scaled = Estimate(exact.value / dims, exact.error / dims, exact.n, "exact")
    return {**least, "log_likelihood_per_dim": scaled}


def _histograms(question: Any, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
    """Histograms of log densities at held-out and at training rows."""
    held, train = own.arrays["held_out"], own.arrays["train"]
    held, train = (x[x.isfinite()] for x in (held, train))
    if not len(held) or not len(train):
        return []
    both = torch.cat([held, train])
    low, high = (float(torch.quantile(both, q)) for q in (0.005, 0.995))
    named = {"held-out": held, "training": train}
    lines = [_outline(x, low, high, name, k) for k, (name, x) in enumerate(named.items())]
    x, y = Axis(label="log density", unit="nats"), Axis(label="share of rows")
    panel = Panel(series=tuple(lines), x=x, y=y, legend="below")
    return [Figure(name="log_densities", panels=(panel,), caption=_CAPTION, width=460, height=280)]


@question(
    needs="log_prob",
    numbers={
        "log_likelihood": About("Held-out log-likelihood", "higher", "nats", floor_of=_LAW),
        "log_likelihood_per_dim": About(
            "Held-out log-likelihood per dimension", "higher", "nats/dim", floor_of=_LAW
        ),
        "log_likelihood_train": About(
            "Log-likelihood of training rows",
            "neither",
            "nats",
            "Overfitted where it is much above that of held-out rows.",
            floor_of=_LAW,
        ),
        "log_density_mismatch": About(
            "Own log density less that of the flow, standard deviation",
            "lower",
            "nats",
            "Zero where the learnt density obeys the continuity equation of its flow; its SDEs then agree.",
            floor_of="a density that obeys the equation",
            floor=0.0,
        ),
    },
    floors=_exact,
    figures=_histograms,
    cannot=lambda question, method: unknown_option(method, "log_prob", question.options),
)
def held_out_likelihood(
    ask: Ask,
    *,
    role: str = "x1",
    n: Annotated[int, Ge(2)] = 500,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Number]:
    """How likely held-out rows are under the method, and whether training rows are likelier.

    A method that has learnt a log density of its own (``fields.log_density_of``) is also asked how far that is from the
    density of its flow: the two agree where the learnt density obeys the flow's continuity equation.

    Args:
        ask: Task and method.
        role: Role of the rows.
        n: Most rows.
        options: Options of ``log_prob``, such as ``divergence``, ``method``, ``n_steps``.
    """
    task, method = ask.task, ask.method
    held, train = (
        _log_prob(ask, take(task.part(part)[role], slice(0, n)), part, options) for part in ("test", "train")
    )
    ask.keep(held_out=held, train=train)
    _find_impossible(ask, held)
    _find_overfitted(ask, held, train)
    # What the method itself says is kept in its state, so that a resumed run says it too.
    ask.find(method.caveat("log_prob"), grave=False)
    return {
        "log_likelihood": held,
        "log_likelihood_per_dim": held / len(column_names(task, role)),
        "log_likelihood_train": train,
        **_mismatch(ask, role, held),
    }


def _log_prob(ask: Ask, x: Any, part: str, options: Mapping[str, Any] | None) -> Tensor:
    known = conditions(ask.method, "log_prob", ask.task, len(x), part)
    return as_tensor(ask.method.log_prob(x, **known, **options_for(ask.method, "log_prob", options))).double()


def _mismatch(ask: Ask, role: str, log_q: Tensor) -> dict[str, Number]:
    """How far a log density that the method has learnt is from that of its flow, ``log_q (B,)``."""
    method, task = ask.method, ask.task
    if not isinstance(method, FramedFields) or method.fields.log_density_of(None) is None:
        return {}
    rows = real_rows(task, role)[: len(log_q)]
    known = conditions(ask.method, "log_prob", task, len(log_q))
    told = [one for one in ask.method.roles() if one.name == "cond" and "cond" in known]
    as_learnt = read(told, known, who(), before=ask.method.given, rows=len(rows))[0]
    density = method.fields.log_density_of(as_learnt.get("cond"))
    assert density is not None
    x = method.frame.encode(rows).float()
    with torch.no_grad():
        apart = density(x, torch.ones(len(x))).double() - (log_q - method.frame.log_volume(rows.double()))
    spread = float(apart.std())
    return {"log_density_mismatch": Estimate(spread, spread / math.sqrt(2 * len(x)), len(x), "mismatch")}


def _find_impossible(ask: Ask, held: Tensor) -> None:
    """Tell of rows that cannot come from the method at all: their mean log density says no more than that."""
    if rows := (held == -math.inf).nonzero().flatten().tolist():
        first = ", ".join(map(str, rows[:3]))
        told = f"{len(rows)} of {len(held)} held-out rows have density zero (row {first}, ...), so that their mean log "
        told += "density is minus infinity. Usual cause: a column that was constant in the fit has another value there."
        ask.find(f"{told} Leave such columns out, or give the fit rows that vary in them.")


def _find_overfitted(ask: Ask, held: Tensor, train: Tensor) -> None:
    """Tell where training rows are likelier than held-out rows by more than two standard errors."""
    gap = float(train.mean() - held.mean())
    error = math.hypot(*(float(x.std()) / math.sqrt(len(x)) for x in (held, train)))
    if gap > 2 * error:
        told = f"Overfitted: the log density of training rows is {gap:.3g} ± {error:.2g} nats above that of held-out "
        ask.find(f"{told}rows.", remedy="Learn from more rows, for fewer steps or with a smaller network.")


def _outline(x: Tensor, low: float, high: float, name: str, hue: int, bins: int = 30) -> Series:
    counts, edges = torch.histogram(x.clamp(low, high), bins, range=(low, max(high, low + 1e-6)))
    return Series(mark="histogram", arrays={"edges": edges, "counts": counts / len(x)}, name=name, hue=hue)
