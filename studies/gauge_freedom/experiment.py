"""Does a score that is a gradient tell the dimension of the data better than a plain network?

A rolled-up sheet in five dimensions. The same perceptron learns the end point E[x1 | x_t], once as the field itself and
once as a potential whose gradient is the field; three estimates read the dimension off each at points of the sheet.
Then the other claim of the theory: a score with a gauge, ``(Id + A) S`` for a mixture in space, is projected on
gradients by regression, and S should come back.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch

from interpolants.diagnostics import asymmetry, conservative_projection, helmholtz, intrinsic_dimension
from interpolants.diagnostics.intrinsic_dimension import METHODS
from interpolants.fields import LearnedFields
from interpolants.foundations.gaussian import Gaussian
from interpolants.objectives import NoiseTimes
from interpolants.paths import OneSidedLinear
from interpolants.problems import GaussianMixture, GaussianMixtureBridge
from interpolants.problems.gauge import GaugedFields, antisymmetric
from interpolants.problems.manifolds import SwissRollSheet
from interpolants.training.pairs import learn_fields
from interpolants.training.settings import TrainSettings
from studies.common import Outcome

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


def measure(case: str, seed: int, settings: Settings) -> Outcome:
    """One network and its dimensions, or one projection."""
    return Outcome(_projected(seed, settings)) if case == PROJECTION else _dimensions(case, seed, settings)


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


def _dimensions(case: str, seed: int, settings: Settings) -> Outcome:
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
    return Outcome(values, arrays)


@lru_cache(maxsize=1)
def mixture() -> GaussianMixture:
    """Three Gaussians in space."""
    return GaussianMixture.random(3, 3, 1.0, 0)


def _projected(seed: int, settings: Settings) -> dict[str, float]:
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
    return {
        "error before": split.error**0.5,
        "error after": split.conservative_error**0.5,
        "gauge share": split.gauge,
        "overlap": split.overlap,
        "overlap, standard errors": split.overlap / split.overlap_error,
        "training, seconds": found.result.seconds,
    }


def _generator(seed: int, purpose: int) -> torch.Generator:
    return torch.Generator().manual_seed(1000 * seed + purpose)
