"""Does a score that is a gradient tell the dimension of the data better than a plain network?

A rolled-up sheet in five dimensions. The same perceptron learns the end point E[x1 | x_t], once as the field itself and
once as a potential whose gradient is the field; three estimates read the dimension off each at points of the sheet.
Then the other claim of the theory: a score with a gauge, ``(Id + A) S`` for a mixture in space, is projected on
gradients by regression, and S should come back.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from interpolants.diagnostics import asymmetry, conservative_projection, helmholtz, intrinsic_dimension
from interpolants.diagnostics.intrinsic_dimension import METHODS
from interpolants.fields import LearnedFields
from interpolants.foundations.gaussian import Gaussian
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, Series, across
from interpolants.framework.seeds import MARKERS, Results, Stated, markdown
from interpolants.objectives import NoiseTimes
from interpolants.paths import OneSidedLinear
from interpolants.problems import GaussianMixture, GaussianMixtureBridge
from interpolants.problems.gauge import GaugedFields, antisymmetric
from interpolants.problems.manifolds import SwissRollSheet
from interpolants.training.pairs import learn_fields
from interpolants.training.settings import TrainSettings
from studies.common import Study

Settings = Mapping[str, Any]
PLAIN, GRADIENT, LONGER, PROJECTION = "plain", "gradient", "plain, twice the steps", "projection"
SHEET, PATH = SwissRollSheet(5), OneSidedLinear()
SYMMETRIC = "score, symmetric part"
ESTIMATES = (*METHODS, SYMMETRIC)
_DATA, _POINTS, _TEST, _NOISE = range(4)

_SHARED = {"sigmas": [0.02, 0.05, 0.1], "lr": 2e-3, "gauge": 1.5}
SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {**_SHARED, "net": {"width": 24, "depth": 2}, "train": 60, "batch": 64, "data": 2000, "points": 20,
              "flow_steps": 4, "projection": {"width": 16, "depth": 2, "steps": 30, "data": 500}},
    "laptop": {**_SHARED, "net": {"width": 96, "depth": 3}, "train": 4000, "batch": 256, "data": 50_000, "points": 200,
               "flow_steps": 15, "projection": {"width": 64, "depth": 3, "steps": 2000, "data": 20_000}},
    "full": {**_SHARED, "net": {"width": 256, "depth": 4}, "train": 50_000, "batch": 1024,
             "data": 1_000_000, "points": 2000, "flow_steps": 60,
             "projection": {"width": 128, "depth": 3, "steps": 20_000, "data": 200_000}},
}  # fmt: skip


def cases(_: Settings) -> Sequence[str]:
    """Two networks at equal steps, the plain one at equal cost, and the projection."""
    return (PLAIN, GRADIENT, LONGER, PROJECTION)


def measure(case: str, seed: int, settings: Settings) -> Answered:
    """One network and its dimensions, or one projection."""
    return _projected(seed, settings) if case == PROJECTION else _dimensions(case, seed, settings)


def learn(case: str, seed: int, settings: Settings) -> tuple[LearnedFields, float]:
    """The end point by the network of the case, and the seconds it took."""
    x1 = SHEET.sample(settings["data"], generator=_generator(seed, _DATA))
    inner = {"kind": "mlp", **settings["net"]}
    spread = float(x1.square().mean().sqrt())
    learnt = learn_fields(
        PATH,
        None,
        x1,
        heads=("denoised",),
        net={"kind": "potential", "net": inner} if case == GRADIENT else inner,
        times=NoiseTimes(PATH, mean=-1.5, std=1.2, data_std=spread),
        precondition=spread,
        settings=TrainSettings(
            steps=settings["train"] * (2 if case == LONGER else 1),
            batch_size=settings["batch"],
            lr=settings["lr"],
            schedule="cosine",
            warmup=50,
            ema=0.995,
            seed=seed,
        ),
    )
    return learnt.fields, learnt.result.seconds


def _dimensions(case: str, seed: int, settings: Settings) -> Answered:
    fields, seconds = learn(case, seed, settings)
    points = SHEET.sample(settings["points"], generator=_generator(seed, _POINTS))
    test = SHEET.sample(10 * settings["points"], generator=_generator(seed, _TEST))
    values, arrays = {"training, seconds": seconds}, {}
    for sigma in settings["sigmas"]:
        for estimate in ESTIMATES:
            how = {"symmetric": True} if estimate == SYMMETRIC else {"method": estimate}
            found = intrinsic_dimension(fields, points, sigma=sigma, n_steps=settings["flow_steps"], **how)
            values[f"{estimate} {sigma:g}"] = float((found.value - SHEET.dimension).abs().mean())
            values[f"mean {estimate} {sigma:g}"] = found.mean
            if seed == 0 and found.spectrum is not None:
                arrays[f"{estimate} {sigma:g}"] = found.spectrum.half().numpy()
        t = torch.tensor(1 / (1 + sigma))  # noise over signal is (1 - t) / t
        draw = PATH.sample(x1=test, t=t, generator=_generator(seed, _NOISE))
        with torch.no_grad():
            found1 = fields.evaluate(draw.x_t, t, ("denoised",))["denoised"]
        # In units of the noise: a projection on the sheet leaves its two tangents, 2 in all.
        values[f"loss {sigma:g}"] = float((found1 - test).square().sum(1).mean()) / sigma**2
        values[f"asymmetry {sigma:g}"] = asymmetry(fields, draw.x_t[:500], float(t))
    return measured(values, arrays, timed=("training, seconds",))


@lru_cache(maxsize=1)
def mixture() -> GaussianMixture:
    """Three Gaussians in space."""
    return GaussianMixture.random(3, 3, 1.0, 0)


def _projected(seed: int, settings: Settings) -> Answered:
    """``(Id + A) S`` projected on gradients: relative L2 errors before and after, in units of S."""
    how = settings["projection"]
    true = GaussianMixtureBridge(Gaussian((3,)), mixture()).fields(PATH)
    turned = GaugedFields(true, antisymmetric(3, size=settings["gauge"], seed=seed))
    x1 = mixture().sample(how["data"], generator=_generator(seed, _DATA)).float()
    found = conservative_projection(
        turned,
        None,
        x1,
        net={"kind": "mlp", "width": how["width"], "depth": how["depth"]},
        settings=TrainSettings(
            steps=how["steps"], lr=3e-3, schedule="cosine", warmup=50, batch_size=512, seed=seed
        ),
    )
    test = mixture().sample(5000, generator=_generator(seed, _TEST)).float()
    split = helmholtz(turned, found.fields, None, test, reference=true, generator=_generator(seed, _NOISE))
    assert split.error is not None
    assert split.conservative_error is not None
    values = {
        "error before": split.error**0.5,
        "error after": split.conservative_error**0.5,
        "gauge share": split.gauge,
        "overlap": split.overlap,
        "overlap, standard errors": split.overlap / split.overlap_error,
        "training, seconds": found.result.seconds,
    }
    return measured(values, timed=("training, seconds",))


def _generator(seed: int, purpose: int) -> torch.Generator:
    return torch.Generator().manual_seed(1000 * seed + purpose)


# --- table and figures ---------------------------------------------------------------------------------------


_LEARNT = (PLAIN, LONGER, GRADIENT)


def table(results: Results) -> str:
    """Errors of the dimension, what was learnt, comparisons seed by seed, and the projection."""
    sigmas = results.settings["sigmas"]
    text = results.head
    named = [case for case in _LEARNT if results.names(case)]
    for prefix, head in (("", "mean \\|dimension - 2\\|"), ("mean ", "mean dimension")):
        rows = []
        for s in sigmas:
            labels = {f"{case}, sigma = {s:g}": case for case in named}
            rows += results.rows(labels, [f"{prefix}{e} {s:g}" for e in ESTIMATES])
        text += "\n" + markdown([head, *ESTIMATES], rows)
    keys = [(key, s) for key in ("loss", "asymmetry") for s in sigmas]
    head = ["network", *(f"{key}, sigma = {s:g}" for key, s in keys), "training, s"]
    numbers = {f"{key} {s:g}": 3 for key, s in keys} | {"training, seconds": 1}
    text += "\n" + markdown(head, results.rows(named, numbers))
    text += "\n" + markdown(["the gradient's error is lower in seeds", *ESTIMATES[:3]], _wins(results))
    names = [*results.names(PROJECTION), "training, seconds"]
    rows = results.rows({"relative L2": PROJECTION}, dict.fromkeys(names, 4))
    return text + "\n" + markdown(["projection of (Id + A) S", *names], rows)


def _wins(results: Results) -> list[list[str]]:
    rows = []
    for other in (PLAIN, LONGER):
        for s in results.settings["sigmas"]:
            cells = []
            for estimate in ESTIMATES[:3]:
                a, b = (results.values(case, f"{estimate} {s:g}") for case in (GRADIENT, other))
                lower = sum(x < y for x, y in zip(a, b, strict=False))
                equal = sum(x == y for x, y in zip(a, b, strict=False))
                cells.append(f"{lower} of {len(a)}" + (f", {equal} equal" if equal else ""))
            rows.append([f"than {other}, sigma = {s:g}", *cells])
    return rows


def figures(results: Results) -> list[Figure]:
    """Errors against the noise, and the singular values of the first seed."""
    sigmas, panels = results.settings["sigmas"], []
    for estimate in ESTIMATES[:3]:
        series = tuple(
            results.curve(sigmas, [(case, f"{estimate} {s:g}") for s in sigmas], case, k)
            for k, case in enumerate(_LEARNT)
        )
        x = Axis(label="noise sigma", scale="log", ticks=tuple(sigmas))
        y, legend = Axis(label="mean |dimension - 2|", grid=True), "best" if not panels else ""
        panels.append(Panel(series=series, title=f"By the {estimate}", x=x, y=y, legend=legend))
    panels.append(_spectra(results))
    return [Figure(name="gauge_freedom", panels=tuple(panels), width=940, height=290)]


def _spectra(results: Results) -> Panel:
    """Median singular values of M, and the tenth and ninetieth percentile over the points, at the least noise."""
    sigma, series = results.settings["sigmas"][0], [across(0.5, "")]
    for k, case in enumerate(_LEARNT):
        values = results.arrays(case, 0).get(f"{ESTIMATES[0]} {sigma:g}")
        if values is not None:
            low, middle, high = np.percentile(values.astype(np.float64), (10, 50, 90), axis=0)
            arrays = {"x": np.arange(1, 6) + 0.15 * (k - 1), "y": middle, "low": low, "high": high}
            series.append(Series(mark="line", arrays=arrays, hue=k, dash="", symbol=MARKERS[k], size=4))
    title, x = f"-sigma² grad S, sigma = {sigma:g}", Axis(label="singular value", ticks=tuple(range(1, 6)))
    return Panel(series=tuple(series), title=title, x=x, y=Axis(grid=True))


CLAIMS = (
    Stated("gradient.density < plain", (GRADIENT, "density 0.02"), (PLAIN, "density 0.02")),
    Stated("gradient.density < longer", (GRADIENT, "density 0.02"), (LONGER, "density 0.02")),
    Stated("gradient.score < plain", (GRADIENT, "score 0.02"), (PLAIN, "score 0.02")),
    Stated(
        "symmetrised.score < plain",
        (PLAIN, "score, symmetric part 0.02"),
        (PLAIN, "score 0.02"),
        expected="fails",
    ),
    Stated("projection.error < 0.05", (PROJECTION, "error after")),
)

STUDY = Study("gauge_freedom", SETTINGS, cases, measure, table, figures, CLAIMS)
