"""Free-energy difference between the two ends of a fitted bridge, with bounds from both sides."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from interpolants.foundations.asked import who
from interpolants.foundations.errors import invalid
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.method import Method
from interpolants.framework.question_form import Ask, question
from interpolants.framework.questions import About, Floors, Measured, Number
from interpolants.framework.task import Task
from interpolants.likelihood.result import Density
from interpolants.likelihood.stein import check_samples
from interpolants.methods.bridge.fitted import FittedBridge
from interpolants.methods.free_energies import WeightedPaths, weigh_paths
from interpolants.methods.questions.distances import real_rows
from interpolants.metrics.estimate import Estimate

_ROLES = ("x0", "x1")
_BINS = 40
_CAPTION = (
    "Log weights of forward and backward paths from held-out rows. The two curves cross at log Z1/Z0; the dotted lines "
    "are the bounds, the means of the two."
)


def _why_unavailable(question: Any, method: Method) -> str:
    if not isinstance(method, FittedBridge):
        return "only a bridge has forward and backward paths of known density."
    if method.is_fitted and method.is_conditional:
        return "it was fitted with conditions, on which log densities do not depend."
    if method.is_fitted and not method.fields.has_score:
        return "it has no score; fit Bridge(path='linear', heads=['velocity', 'noise'])."
    return ""


def _truth(question: Any, task: Task) -> Floors:
    """Zero between normalised densities, those of the data of the task."""
    names = ("log_ratio", "lower", "upper", "forward", "reverse", "without_path")
    return dict.fromkeys(names, 0.0) if question.log_densities is None else {}


def _histograms(
    question: Any, measured: Measured, rivals: Mapping[str, Measured], task: Task
) -> Sequence[Figure]:
    weights = {f"{name} paths": measured.arrays[name].flatten() for name in ("forward", "backward")}
    finite = {name: x[x.isfinite()] for name, x in weights.items()}
    pooled = torch.cat(list(finite.values()))
    low, high = (float(torch.quantile(pooled, q)) for q in (0.002, 0.998))
    lines = [
        _outline(x, low, max(high, low + 1e-6), name, hue) for hue, (name, x) in enumerate(finite.items())
    ]
    for hue, x in enumerate(finite.values()):
        lines.append(Series(mark="rule", arrays={"x": x.mean()}, hue=hue, dash=":"))
    estimate = measured.values["log_ratio"]
    assert isinstance(estimate, Estimate)
    lines.append(
        Series(mark="rule", arrays={"x": torch.tensor(estimate.value)}, hue="muted", name="estimate")
    )
    x_axis, y_axis = Axis(label="log weight", unit="nats"), Axis(label="fraction of paths")
    panel = Panel(series=tuple(lines), x=x_axis, y=y_axis, legend="below")
    return [Figure(name="log_weights", panels=(panel,), caption=_CAPTION, width=460, height=280)]


def _outline(x: Tensor, low: float, high: float, name: str, hue: int) -> Series:
    counts, edges = torch.histogram(x.clamp(low, high), _BINS, range=(low, high))
    return Series(mark="histogram", arrays={"edges": edges, "counts": counts / len(x)}, name=name, hue=hue)


@question(
    needs="transport",
    numbers={
        "log_ratio": About(
            "log Z1/Z0, Bennett's estimate",
            "neither",
            "nats",
            "The free-energy difference in kT is its negative.",
        ),
        "lower": About("Lower bound of log Z1/Z0", "higher", "nats"),
        "upper": About("Upper bound of log Z1/Z0", "lower", "nats"),
        "width": About("Distance of the bounds", "lower", "nats", floor=0.0),
        "overlap": About("Overlap of forward and backward weights", "higher", floor=1.0),
        "forward": About("Estimate from forward paths alone", "neither", "nats"),
        "reverse": About("Estimate from backward paths alone", "neither", "nats"),
        "without_path": About("Bennett's estimate without paths", "neither", "nats"),
        "overlap_without_path": About("Overlap without paths", "higher"),
    },
    floors=_truth,
    figures=_histograms,
    cannot=_why_unavailable,
)
def free_energy(
    ask: Ask,
    *,
    log_densities: Any = None,
    n: Annotated[int, Ge(2)] = 5000,
    n_steps: Annotated[int, Ge(1)] = 100,
    eps: Annotated[float, Gt(0)] | None = None,
    stein: bool = True,
    seed: int = 0,
) -> dict[str, Number]:
    """Free-energy difference of the two ends, as ``log Z1/Z0``, with a lower and an upper bound.

    Args:
        ask: Task and method.
        log_densities: Log densities ``(f0, f1)`` in nats up to constants, -U(x)/kT of rows in data units, ``(B, *D)``
            float64 -> ``(B,)``; ``(None, f1)`` on a path with a Gaussian base. None for the exact densities of the
            task's data, where these are knmeasured.
        n: Number of paths each way.
        n_steps: Steps of a path.
        eps: Noise level in the bridge's units squared; None for that with the narrowest bounds in a trial.
        stein: Test by Stein's identity whether the rows belong to the log densities.
        seed: Seed of the paths.
    """
    method, task = ask.method, ask.task
    based = method.fitted_path.base is not None
    logs = _log_densities(log_densities, task, based=based)
    rows = [None if based and role == "x0" else real_rows(task, role) for role in _ROLES]
    for k, (f, x) in enumerate(zip(logs, rows, strict=True)):
        if stein and f is not None and x is not None:
            check_samples(who(), f"log_densities[{k}]", f, x)
    x1 = rows[1]
    assert x1 is not None
    weighed = weigh_paths(method, rows[0], x1, logs, n=n, n_steps=n_steps, eps=eps, seed=seed)
    if task.in_sample:
        message = "The rows are those of the training: the bounds may not hold."
        ask.find(message, remedy="Use a split with test rows.")
    for message in weighed.result.warnings:
        ask.find(message)
    ask.keep(forward=weighed.forward, backward=weighed.backward)
    return _numbers(weighed)


def _log_densities(functions: Any, task: Task, *, based: bool) -> tuple[Any, Any]:
    """Pair of functions; None for the density of a base."""
    if functions is None:
        densities = {role: task.truths.get(role) for role in _ROLES[based:]}
        unknown = [role for role, density in densities.items() if not isinstance(density, Density)]
        if unknown:
            remedy = "Pass log_densities=(f0, f1): -U(x)/kT of rows, up to a constant."
            raise invalid(
                who(), f"log_densities is required: the density of {unknown[0]} is unknown", "None", remedy
            )
        exact = [density.log_prob for density in densities.values() if isinstance(density, Density)]
        return (None, exact[0]) if based else (exact[0], exact[1])
    pair = tuple(functions) if isinstance(functions, tuple | list) else ()
    if len(pair) != 2 or not all(callable(f) or (k == 0 and f is None) for k, f in enumerate(pair)):
        remedy = "On a path with a Gaussian base: (None, f1)."
        raise invalid(who(), "log_densities must be two functions of rows, (f0, f1)", functions, remedy)
    return pair


def _numbers(weighed: WeightedPaths) -> dict[str, Number]:
    result, n = weighed.result, weighed.forward.numel()
    pairs = {
        "log_ratio": (result.log_ratio, result.error),
        "lower": (result.lower, result.lower_error),
        "upper": (result.upper, result.upper_error),
        "width": (result.upper - result.lower, math.hypot(result.lower_error, result.upper_error)),
        "forward": (result.forward, result.forward_error),
        "reverse": (result.reverse, result.reverse_error),
    }
    if (direct := weighed.without_path) is not None:
        pairs["without_path"] = direct.log_ratio, direct.error
    numbers: dict[str, Number] = {name: Estimate(*pair, n, name) for name, pair in pairs.items()}
    numbers["overlap"] = result.overlap
    if direct is not None:
        numbers["overlap_without_path"] = direct.overlap
    return numbers
