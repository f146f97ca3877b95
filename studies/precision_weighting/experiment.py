"""Where does precision-weighted guidance help, and where does it harm?

Forecasts ``y = c + sigma e`` of 64 entries, half of them with a small sigma, half with 1, by fields that are known:
exact, or with a mean that the condition pulls too weakly. Members come by the SDE. The rival is the best constant
weight, chosen on other cases.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from interpolants.apps.weather.precision_weight import PrecisionWeight
from interpolants.apps.weather.problems.gaussian_forecast import GaussianForecast
from interpolants.dynamics import sample
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.randomness import generator
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, across
from interpolants.framework.seeds import Results, Stated, markdown
from interpolants.metrics.crps import crps
from interpolants.paths import OneSidedLinear
from studies.common import Study

WIDTH = 64
_CONSTANTS = (1.0, 1.25, 1.5, 2.0)
_RULES = {"weighted 0.5": 0.5, "weighted 1": 1.0, "reversed 0.5": -0.5}
_ASKED = {"small": [0.1, 0.3, 0.6], "shrink": [0.0, 0.15, 0.3, 0.5]}
SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {"small": [0.1], "shrink": [0.0, 0.3], "cases": 6, "members": 10, "steps": 20},
    "laptop": {**_ASKED, "cases": 40, "members": 40, "steps": 100},
    "full": {**_ASKED, "cases": 200, "members": 100, "steps": 400},
}


def cases(settings: Mapping[str, Any]) -> Sequence[str]:
    """Every spread of the predictable half with every shrinking of the mean."""
    return [
        f"sigma {small:g}, shrink {shrink:g}" for small in settings["small"] for shrink in settings["shrink"]
    ]


def measure(case: str, seed: int, settings: Mapping[str, Any]) -> Answered:
    """CRPS of every rule; the constant is chosen on other cases."""
    small, shrink = (float(part.split()[1]) for part in case.split(", "))
    sigma = torch.full((WIDTH,), 1.0)
    sigma[: WIDTH // 2] = small
    forecast = GaussianForecast(sigma, shrink)
    known, asked = f"validation {seed}", f"test {seed}"
    constant = min(_CONSTANTS, key=lambda w: _crps(forecast, _constant(w), known, settings)[0])
    values = {"W = 1": _crps(forecast, _constant(1.0), asked, settings)[0], "constant": constant}
    values["best constant"] = _crps(forecast, _constant(constant), asked, settings)[0]
    for name, strength in _RULES.items():
        values[name], rank = _crps(forecast, PrecisionWeight(strength=strength), asked, settings)
        values[f"{name}, correlation"] = rank
    ratios = {f"{name} / constant": values[name] / values["best constant"] for name in _RULES}
    return measured({**values, **ratios})


def _constant(weight: float) -> PrecisionWeight:
    return PrecisionWeight(bounds=(weight, weight))


def _crps(
    forecast: GaussianForecast, rule: PrecisionWeight, part: str, settings: Mapping[str, Any]
) -> tuple[float, float]:
    """Mean CRPS, and the correlation of the logarithms of what fluctuated and of the true variances."""
    n, members = settings["cases"], settings["members"]
    c = forecast.observations(n, generator=generator(0, part, "observed"))
    y = forecast.outcomes(c, generator=generator(0, part, "outcomes"))
    start = torch.randn(n * members, WIDTH, generator=generator(0, part, "starts"), dtype=torch.float64)
    fields = forecast.fields(OneSidedLinear(base=Gaussian(event_shape=(WIDTH,))))
    options = {"eps": 1.0, "n_steps": settings["steps"], "seed": 0, "method": "euler_maruyama"}
    done = sample(fields, start, cond=c.repeat_interleave(members, 0), modifiers=(rule,), **options)
    score = float(crps(done.x.reshape(n, members, WIDTH), y).value)
    told = done.reports[0].get("variance")
    if told is None:
        return score, float("nan")
    true = forecast.sigma.log().expand_as(told)
    pairs = [torch.corrcoef(torch.stack([a, b]))[0, 1] for a, b in zip(told.log(), true, strict=True)]
    return score, float(torch.stack(pairs).mean())


# --- table and figures ---------------------------------------------------------------------------------------


def table(results: Results) -> str:
    """A row for every case."""
    names = ["W = 1", "constant", "best constant", *_RULES, *(f"{name} / constant" for name in _RULES)]
    rows = results.rows(results.cases, {**dict.fromkeys(names, 3), "weighted 0.5, correlation": 2})
    head = [
        "forecast",
        "CRPS, W = 1",
        "constant chosen",
        "CRPS with it",
        *(f"CRPS, {name}" for name in _RULES),
    ]
    head += [*(f"{name}, over constant" for name in _RULES), "correlation of log variances"]
    return results.head + "\n" + markdown(head, rows)


def figures(results: Results) -> list[Figure]:
    """CRPS over that of the best constant weight, by how far the mean is shrunk."""
    panels, shrinks = [], results.settings["shrink"]
    for name in ("weighted 0.5", "reversed 0.5"):
        series = [
            results.curve(
                shrinks,
                [(f"sigma {small:g}, shrink {shrink:g}", f"{name} / constant") for shrink in shrinks],
                f"sigma {small:g} and 1",
                hue,
            )
            for hue, small in enumerate(results.settings["small"])
        ]
        y = Axis(label="CRPS over that of the best constant")
        panels.append(
            Panel(
                series=(*series, across(1.0, "", dash=":")),
                title=name,
                x=Axis(label="shrink"),
                y=y,
                legend="best",
            )
        )
    return [Figure(name="precision_weighting", panels=tuple(panels), width=760, height=300)]


def _claim(says: str, own: str, rival: str, where: str, expected: str = "holds") -> Stated:
    return Stated(says, (where, own), (where, rival), expected=expected)


_EXACT, _WEAK, _SOFT = "sigma 0.1, shrink 0", "sigma 0.1, shrink 0.3", "sigma 0.3, shrink 0.3"
CLAIMS = (
    _claim("exact.weighted < 1.03 plain", "weighted 0.5", "W = 1", _EXACT),
    _claim("weak.weighted < 1.01 constant", "weighted 0.5", "best constant", _WEAK),
    _claim("weak.weighted < 0.96 reversed", "weighted 0.5", "reversed 0.5", _WEAK),
    _claim("soft.weighted < 1.01 constant", "weighted 0.5", "best constant", _SOFT, "fails"),
    Stated("exact.correlation > 0.85", (_EXACT, "weighted 0.5, correlation")),
)

STUDY = Study("precision_weighting", SETTINGS, cases, measure, table, figures, CLAIMS)
