"""How close forecasts from a point come to the true distribution of what follows, and whether the noise level matters.

On two problems whose transition distribution is known, one drift is learnt and sampled at several noise levels. Each
ensemble is scored against what came and against the truth: CRPS above the oracle's (over all that may come, in closed
form), energy score, spread over skill, rank histogram. Roll-outs are scored at every lead beside the oracle's and
climatology.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.foundations.randomness import generator
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, Series, cloud
from interpolants.framework.seeds import MARKERS, Results, Stated, markdown, shown
from interpolants.methods.forecaster import Forecaster
from interpolants.metrics.crps import crps
from interpolants.metrics.ensemble import spread_skill
from interpolants.metrics.forecast_scores import verify_forecast
from interpolants.problems.noisy_lorenz import NoisyLorenz
from interpolants.problems.rotating_mixture import RotatingMixture
from interpolants.problems.transition import MixtureTransition
from studies.common import Study

Settings = Mapping[str, Any]
PROBLEMS: dict[str, type[MixtureTransition]] = {
    "rotating mixture": RotatingMixture,
    "noisy Lorenz": NoisyLorenz,
}
# Noise levels: names, and factors on the path's own diffusivity.
LEVELS: dict[str, "str | float"] = {
    "reference": "reference",
    "Foellmer": "follmer",
    "flow": 0.0,
    "a third": 1 / 3,
    "threefold": 3.0,
}
_DATA, _TEST, _ORACLE, _ROLL = range(4)

SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {
        "data": 2000, "net": {"width": 32, "depth": 2}, "steps": [60, 60], "batch": 128, "lr": 5e-3, "cases": 60,
        "members": 8, "n_steps": 8, "leads": 2, "roll_cases": 20,
    },
    "laptop": {
        "data": 200_000, "net": {"width": 128, "depth": 3}, "steps": [3000, 8000], "batch": 512, "lr": 2e-3,
        "cases": 2000, "members": 20, "n_steps": 30, "leads": 10, "roll_cases": 200,
    },
    "full": {
        "data": 2_000_000, "net": {"width": 256, "depth": 4}, "steps": [20_000, 50_000], "batch": 2048, "lr": 2e-3,
        "cases": 10_000, "members": 50, "n_steps": 100, "leads": 30, "roll_cases": 2000,
    },
}  # fmt: skip


def cases(settings: Settings) -> Sequence[str]:
    """The problems."""
    return tuple(PROBLEMS)


def measure(case: str, seed: int, settings: Settings) -> Answered:
    """Learn one drift, score it at every level, and roll it out."""
    problem = PROBLEMS[case]()
    now, later = problem.pairs(settings["data"], generator=generator(seed, _DATA))
    forecaster = Forecaster(
        net={"kind": "mlp", **settings["net"]},
        seed=seed,
        steps=settings["steps"][list(PROBLEMS).index(case)],
        batch_size=settings["batch"],
        lr=settings["lr"],
    ).fit(now.float(), later.float())
    values: dict[str, float] = {"scale": forecaster.state["path"].scale}
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    test = problem.pairs(settings["cases"], generator=generator(seed, _TEST))
    for name in LEVELS:
        own, kept = one_level(forecaster, problem, name, test, settings)
        values |= {f"{name} {key}": value for key, value in own.items()}
        arrays |= {f"{name} {key}": value for key, value in kept.items()}
    more, curves = rolled_out(forecaster, problem, seed, settings)
    return measured(values | more, arrays | curves)


def one_level(
    forecaster: Forecaster,
    problem: MixtureTransition,
    name: str,
    test: tuple[Tensor, Tensor],
    settings: Settings,
) -> tuple[dict[str, float], dict[str, np.ndarray[Any, Any]]]:
    """Scores of one noise level on the test cases."""
    level = LEVELS[name]
    eps = level if isinstance(level, str) else level * forecaster.state["path"].scale
    now, later = test
    members = settings["members"]
    drawn = forecaster.forecast(now, members=members, eps=eps, n_steps=settings["n_steps"]).x
    source = generator(0, _ORACLE)
    climate = problem.sample(5000, generator=source)
    scores = verify_forecast(
        drawn,
        later,
        climatology=climate[torch.randint(len(climate), (len(now), members), generator=source)],
        persistence=now[:, None],
        oracle=problem.members(now, members, generator=source),
        generator=source,
    )
    excess = problem.excess(drawn, now)
    own, oracle = scores.model, scores.scores["oracle"]
    assert own.spread_skill is not None
    assert own.ranks is not None
    assert oracle.ranks is not None
    assert oracle.spread_skill is not None
    assert scores.excess_energy is not None
    values = {
        "crps": own.crps.value,
        "oracle crps": oracle.crps.value,
        "climatology crps": scores.scores["climatology"].crps.value,
        "persistence crps": scores.scores["persistence"].crps.value,
        "excess": excess.value,
        "excess error": excess.error,
        "energy excess": scores.excess_energy.value,
        "spread/skill": own.spread_skill.value,
        "spread/skill error": own.spread_skill.error,
        "rank p": own.ranks.p,
        "oracle rank p": oracle.ranks.p,
    }
    first = {"ranks": own.ranks.frequency.numpy().astype(np.float32)}
    if name == "reference":
        first |= {
            "members": drawn[:3].numpy().astype(np.float32),
            "truth": problem.members(now[:3], settings["members"] * 20, generator=generator(0, _ORACLE))
            .numpy()
            .astype(np.float32),
            "now": now[:3].numpy().astype(np.float32),
        }
    return values, first


def rolled_out(
    forecaster: Forecaster, problem: MixtureTransition, seed: int, settings: Settings
) -> tuple[dict[str, float], dict[str, np.ndarray[Any, Any]]]:
    """CRPS and spread over skill against lead, for the forecaster and for the oracle's own roll-outs."""
    source, leads, members = generator(seed, _ROLL), settings["leads"], settings["members"]
    start = problem.sample(settings["roll_cases"], generator=source)
    truth = problem.rollout(start, leads, generator=source)
    made = forecaster.forecast(start, members=members, steps=leads, n_steps=settings["n_steps"]).x
    paths = problem.rollout(start.repeat_interleave(members, 0), leads, generator=source)
    oracle = paths.reshape(leads + 1, len(start), members, -1)
    climate = problem.sample(members * 50, generator=source)
    pick = torch.randint(len(climate), (len(start), members), generator=source)
    lines: dict[str, list[float]] = {"model": [], "oracle": [], "climatology": [], "spread/skill": []}
    for lead in range(1, leads + 1):
        lines["model"].append(crps(made[:, :, lead - 1], truth[lead]).value)
        lines["oracle"].append(crps(oracle[lead], truth[lead]).value)
        lines["climatology"].append(crps(climate[pick], truth[lead]).value)
        lines["spread/skill"].append(spread_skill(made[:, :, lead - 1], truth[lead]).value)
    excess = [a / b - 1 for a, b in zip(lines["model"], lines["oracle"], strict=True)]
    values = {"roll-out excess, mean over leads": float(np.mean(excess)), "roll-out excess, last": excess[-1]}
    return values, {f"lead {key}": np.array(line, dtype=np.float32) for key, line in lines.items()}


# --- table and figures ---------------------------------------------------------------------------------------


def table(results: Results) -> str:
    """Scores by noise level, whether the levels agree, and roll-outs."""
    parts = [results.head]
    head = ["noise level", "CRPS", "oracle", "CRPS above the oracle's (%)", "energy score above (%)"]
    head += ["spread / skill", "rank p, each seed", "oracle's rank p"]
    for case in results.cases:
        rows = []
        for name in LEVELS:
            row = [results.shown(case, f"{name} {key}") for key in ("crps", "oracle crps")]
            row += [results.shown(case, f"{name} {key}", 2, 100) for key in ("excess", "energy excess")]
            row += [results.shown(case, f"{name} spread/skill")]
            row += [_each(results.values(case, f"{name} {key}")) for key in ("rank p", "oracle rank p")]
            rows.append([name, *row])
        first = next(iter(LEVELS))
        for rival in ("climatology", "persistence"):
            rows.append([rival, results.shown(case, f"{first} {rival} crps")] + [""] * 6)
        parts += [f"**{case}**\n", markdown(head, rows)]
        parts += [
            f"CRPS above the oracle's at the five levels, largest minus smallest: {_range(results, case)}.\n"
        ]
        mean, last = (
            results.shown(case, f"roll-out excess, {w}", 1, 100) for w in ("mean over leads", "last")
        )
        parts += [f"Roll-outs of {results.settings['leads']} steps: CRPS above that of the oracle's roll-outs by "
                  f"{mean} % on average over leads, {last} % at the last.\n"]  # fmt: skip
    return "\n".join(parts)


def _each(values: list[float]) -> str:
    return ", ".join(f"{value:.2g}" for value in values)


def _range(results: Results, case: str) -> str:
    columns = [results.values(case, f"{name} excess") for name in LEVELS]
    spans = [100 * (max(row) - min(row)) for row in zip(*columns, strict=True)]
    return shown(spans, 2) + " %"


def figures(results: Results) -> list[Figure]:
    """Rank histograms, roll-outs and ensembles of the first seed that has them."""
    stored = {case: results.arrays(case, results.seeds[0]) for case in results.cases}
    return [_ranks(results, stored), _rollouts(stored), _ensembles(stored)]


def _ranks(results: Results, stored: Mapping[str, Mapping[str, Any]]) -> Figure:
    members, panels = results.settings["members"], []
    chance = 2 * np.sqrt((members + 1) / results.settings["cases"])
    for case, arrays in stored.items():
        for name in ("reference", "flow", "Foellmer"):
            series = [Series(mark="rule", arrays={"low": 1 - chance, "high": 1 + chance}, hue="muted")]
            for k, line in enumerate(arrays[f"{name} ranks"]):
                bars = {"edges": np.arange(members + 2) - 0.5, "counts": line}
                series.append(Series(mark="histogram", arrays=bars, name=f"coordinate {k + 1}", hue=k))
            y = Axis(label="frequency / flat" if name == "reference" else "", low=0, high=2)
            x, legend = Axis(label="rank of what came"), "lower left" if name == "reference" else ""
            panels.append(Panel(series=tuple(series), title=f"{case}, {name}", x=x, y=y, legend=legend))
    return Figure(name="ranks", panels=tuple(panels), columns=3, width=960, height=260 * len(stored))


def _rollouts(stored: Mapping[str, Mapping[str, Any]]) -> Figure:
    named = {
        "oracle": "the true distribution, rolled out",
        "model": "forecaster",
        "climatology": "climatology",
    }
    panels = []
    for case, arrays in stored.items():
        series = []
        for k, (key, name) in enumerate(named.items()):
            y = arrays[f"lead {key}"]
            points = {"x": range(1, len(y) + 1), "y": y}
            series.append(Series(mark="line", arrays=points, name=name, hue=k, symbol=MARKERS[k]))
        y = Axis(label="CRPS", unit="data units", low=0, grid=True)
        x = Axis(label="lead", unit="steps")
        panels.append(Panel(series=tuple(series), title=case, x=x, y=y, legend="lower right"))
    return Figure(name="rollouts", panels=tuple(panels), width=440 * len(stored), height=330)


def _ensembles(stored: Mapping[str, Mapping[str, Any]]) -> Figure:
    panels = []
    for case, arrays in stored.items():
        for k in range(3):
            truth, drawn, now = (arrays[f"reference {key}"][k] for key in ("truth", "members", "now"))
            star = {"x": now[:1], "y": now[1:2]}
            series = (
                cloud(truth, "true distribution", "muted", alpha=0.4),
                cloud(drawn, "members", 1, size=16),
                Series(mark="points", arrays=star, name="now", symbol="*", size=60),
            )
            axes = {"x": Axis(label="x1"), "y": Axis(label="x2" if k == 0 else "")}
            title, legend = (case, "best") if k == 0 else ("", "")
            panels.append(Panel(series=series, title=title, legend=legend, **axes))
    return Figure(name="ensembles", panels=tuple(panels), columns=3, width=900, height=300 * len(stored))


CLAIMS = tuple(
    Stated(f"crps_above_oracle.{case.replace(' ', '_')} < 0.03", (case, "reference excess"))
    for case in PROBLEMS
)

STUDY = Study("forecasting", SETTINGS, cases, measure, table, figures, CLAIMS)
