"""Questions about posteriors: calibration over simulations, at one observation, and against exact draws."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.apps.posterior.calibration import central_coverage, lc2st, misfit, sbc, tarp
from interpolants.apps.posterior.problems.simulators import Simulator
from interpolants.foundations.asked import invalid
from interpolants.foundations.kinds import Count, Share
from interpolants.foundations.randomness import generator, key
from interpolants.framework.capabilities import capabilities_of
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.method import Method
from interpolants.framework.question_form import Ask, question
from interpolants.framework.questions import About, Measured, Number
from interpolants.framework.task import Task
from interpolants.methods.questions.distances import as_tensor
from interpolants.metrics.c2st import c2st

_UNKNOWN = "unknown: the network and the number of simulations bound it"


def _condition(question: Any, method: Method) -> str:
    """Why a method has no posterior: it draws nothing given a condition."""
    ability = capabilities_of(type(method))["sample"]
    conditions = [role.name for role in ability.roles(method) if role.kind == "condition"]
    return "" if len(conditions) == 1 else "it must sample given ability condition."


def _names(method: Method) -> tuple[str, str, str]:
    """Role of the parameters, role of the simulations, and the argument of ``sample`` that takes these."""
    ability = capabilities_of(type(method))["sample"]
    (argument,) = (role.name for role in ability.roles(method) if role.kind == "condition")
    return ability.like, ability.source(argument), argument


def _draws(method: Method, x: Tensor, count: int, seed: int) -> Tensor:
    """``count`` draws given each row of x, ``(B, count, D)`` float64."""
    argument = _names(method)[2]
    repeated = x.repeat_interleave(count, 0)
    samples = as_tensor(method.sample(len(repeated), **{argument: repeated}, seed=seed))  # type: ignore[attr-defined]
    return samples.double().reshape(len(x), count, -1)


def _simulations(ask: Ask, n: int) -> tuple[Tensor, Tensor]:
    """Return at most ``n`` test simulations: parameters and x, float64."""
    theta, x, _ = _names(ask.method)
    rows = (as_tensor(ask.task.test[name])[:n].double() for name in (theta, x))
    first, second = rows
    return first.flatten(1), second.flatten(1)


def _calibration_figures(
    question: Any, measured: Measured, rivals: Mapping[str, Measured], task: Task
) -> Sequence[Figure]:
    """Empirical distribution of ranks, and the TARP curve."""
    named = {"the method": measured, **rivals}
    figures = []
    for name, label in (("ranks", "rank of the true parameter / draws"), ("fractions", "credibility")):
        ideal = Series(
            mark="line", arrays={"x": torch.tensor([0.0, 1]), "y": torch.tensor([0.0, 1])}, name="calibrated",
            hue="muted", dash="--",
        )  # fmt: skip
        lines = [
            Series(mark="line", arrays=_steps(ability.arrays[name]), name=key_, hue=k)
            for k, (key_, ability) in enumerate(list(named.items())[:6])
        ]
        panel = Panel(
            series=(ideal, *lines),
            x=Axis(label=label),
            y=Axis(label="fraction of simulations"),
            legend="below",
        )
        text = (
            "Ranks of all parameters" if name == "ranks" else "Expected coverage of regions around references"
        )
        caption = f"{text}; the diagonal is calibrated."
        figures.append(Figure(name=f"{name}_curve", panels=(panel,), caption=caption, width=420, height=330))
    return figures


def _steps(values: Tensor) -> dict[str, Tensor]:
    ordered = values.double().flatten().sort().values
    picks = torch.linspace(0, len(ordered) - 1, min(200, len(ordered))).long()
    return {"x": ordered[picks], "y": (picks + 1).double() / len(ordered)}


@question(
    needs="sample",
    numbers={
        "sbc_p": About(
            "SBC, p-value",
            "higher",
            note="Smallest over the parameters, times their number. The prior passes too: read the contraction.",
            floor="unknown: uniform for the exact posterior",
        ),
        "tarp_p": About("TARP, p-value", "higher", floor="unknown: uniform for the exact posterior"),
        "tarp_gap": About("TARP, largest gap", note="Between coverage and credibility.", floor=_UNKNOWN),
        "coverage": About("Coverage of central intervals", "neither", floor_of="a calibrated posterior"),
        "contraction": About(
            "Contraction",
            "neither",
            note="1 - posterior variance / prior variance; 0 for the prior.",
            floor=_UNKNOWN,
        ),
    },
    floors=lambda question, task: {"coverage": question.level},
    figures=_calibration_figures,
    cannot=_condition,
)
def posterior_calibration(
    ask: Ask, *, n: Annotated[int, Ge(100)] = 300, draws: Count = 99, level: Share = 0.9, seed: int = 0
) -> dict[str, Number]:
    """Calibration of a posterior over test simulations: SBC, TARP, coverage and contraction.

    Args:
        ask: Task and method.
        n: Largest number of test simulations.
        draws: Posterior draws for each; one more must be a multiple of 20.
        level: Probability of the central intervals.
        seed: Seed of the draws.
    """
    theta, x = _simulations(ask, n)
    sets = _draws(ask.method, x, draws, seed)
    ranks = sbc(sets, theta, generator=generator(seed, "ranks"))
    regions = tarp(sets, theta, x, generator=generator(seed, "references"))
    ask.keep(ranks=(sets < theta[:, None]).double().mean(1), fractions=regions.fractions)
    for name, p in (("SBC", ranks.p), ("TARP", regions.p)):
        message = (
            f"{name} rejects the posterior, p = {p:.2g} over {len(theta)} simulations." if p < 0.01 else ""
        )
        ask.find(message, grave=False, remedy="Train longer, or simulate more.")
    return {
        "sbc_p": ranks.p,
        "tarp_p": regions.p,
        "tarp_gap": regions.distance,
        "coverage": central_coverage(sets, theta, level),
        "contraction": ranks.contraction,
    }


@question(
    needs="sample",
    numbers={
        "lc2st_p": About("LC2ST, p-value", "higher", floor="unknown: uniform for the exact posterior"),
        "lc2st": About("LC2ST, statistic", note="Mean of (d - 1/2)^2 at the observation.", floor=_UNKNOWN),
        "misfit_rank": About(
            "Simulations that are at least as isolated as the observation",
            "higher",
            note="Near 0: the simulator does not produce such an observation.",
            floor="unknown: uniform for an observation from the simulator",
        ),
    },
    cannot=_condition,
)
def local_calibration(
    ask: Ask, *, row: Annotated[int, Ge(0)] = 0, n: Annotated[int, Ge(100)] = 1000, seed: int = 0
) -> dict[str, Number]:
    """Calibration of a posterior at one test observation: LC2ST, and the distance of the observation to simulations.

    Args:
        ask: Task and method.
        row: Test row of the observation; the others are the simulations.
        n: Largest number of these simulations.
        seed: Seed of draws and classifiers.
    """
    theta, x = _simulations(ask, n + row + 1)
    if row >= len(x):
        raise invalid("row must be a test row", row, f"There are {len(x)}.")
    x_o, others = x[row], torch.arange(len(x)) != row
    theta, x = theta[others], x[others]
    single = _draws(ask.method, x, 1, key(seed, "one each"))[:, 0]
    at = _draws(ask.method, x_o[None], 1000, key(seed, "at the observation"))[0]
    result = lc2st(theta, single, x, at, x_o, generator=generator(seed, "classifiers"))
    isolated = misfit(x, x_o)
    message = f"LC2ST rejects the posterior at test row {row}, p = {result.p:.2g}." if result.p < 0.01 else ""
    ask.find(message, grave=False)
    return {"lc2st_p": result.p, "lc2st": result.statistic, "misfit_rank": isolated.rank}


def _simulator(task: Task) -> Simulator:
    """The problem behind the data.

    Raises:
        InvalidInputError: If it has no exact posterior.
    """
    result = next((truth for truth in task.truths.values() if isinstance(truth, Simulator)), None)
    if result is None:
        raise invalid(
            "the data must come from a simulator with an exact posterior",
            "other data",
            "For example, use problem two_moons.",
        )
    return result


@question(
    needs="sample",
    numbers={
        "c2st": About(
            "C2ST against the exact posterior",
            note="Accuracy of a classifier, mean over the observations; 0.5 is indistinguishable, 1 disjoint.",
            floor_of="the exact posterior",
            floor=0.5,
        ),
        "predictive": About(
            "Distance of posterior predictive simulations to the observation",
            note="Mean, in standard deviations of x.",
            floor=_UNKNOWN,
        ),
    },
    cannot=_condition,
)
def posterior_quality(
    ask: Ask, *, observations: Count = 3, draws: Annotated[int, Ge(100)] = 1000, seed: int = 0
) -> dict[str, Number]:
    """Distance of a posterior to the exact posterior at test observations, and of its predictions to these.

    The classifier is an MLP with three folds, as in sbibm.

    Args:
        ask: Task and method.
        observations: Number of test rows.
        draws: Posterior draws at each.
        seed: Seed of draws and classifiers.
    """
    problem = _simulator(ask.task)
    _, x = _simulations(ask, max(observations, 100))
    std = x.std(0)
    samples = _draws(ask.method, x[:observations], draws, seed)
    accuracies, distances = [], []
    for k, (row, sampled) in enumerate(zip(x, samples, strict=False)):
        exact = problem.posterior_sample(row, draws, generator=generator(seed, "exact posterior", k))
        judged = c2st(sampled, exact, judge="mlp", folds=3, generator=generator(seed, "judge", k))
        accuracies.append(judged.value)
        again = problem.simulate(sampled, generator=generator(seed, "posterior predictive", k))
        distances.append(float(((again - row) / std).norm(dim=1).mean()))
    values = (torch.tensor(result, dtype=torch.float64) for result in (accuracies, distances))
    return dict(zip(("c2st", "predictive"), values, strict=True))
