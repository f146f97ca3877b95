"""What does a schedule of its own for every spatial frequency save in sampling steps?

Gaussian data with the power spectrum of photographs, where the best denoiser is linear and samplers act on each
frequency by itself: the spectrum of what T steps make, and its divergence from that of the data, follow in closed form.
Each seed takes another random half of the patches.

Letters: ``D`` power of a coordinate of the data, ``a, b`` coefficients of data and noise in it, ``v`` power of what the
sampler has made.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from interpolants.data import load_photographs
from interpolants.paths import VP, OneSidedLinear, OneSidedTrigonometric, ShortestPath, fisher_rao_length
from interpolants.paths.path import SpatiallyLinearPath
from studies.common import Outcome

Settings = Mapping[str, Any]
SHORTEST = "shortest"
PATHS: dict[str, Callable[[], SpatiallyLinearPath]] = {
    "cosine": OneSidedTrigonometric,
    "VP, linear beta": VP,
    "linear": OneSidedLinear,
}
SAMPLERS = ("flow", "ancestral")

SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {"n_steps": [10, 20], "share": 0.1, "length_steps": 500},
    "laptop": {"n_steps": [10, 20, 100], "share": 0.5, "length_steps": 2000},
    "full": {"n_steps": [10, 20, 50, 100, 1000], "share": 0.5, "length_steps": 20_000},
}


def cases(_: Settings) -> Sequence[str]:
    """The paths."""
    return (SHORTEST, *PATHS)


def measure(case: str, seed: int, settings: Settings) -> Outcome:
    """Divergences by sampler and number of steps, and the length of the path."""
    fitted = shortest(seed, settings["share"])
    power = fitted.spectrum
    path = fitted if case == SHORTEST else PATHS[case]()
    values = {
        "length": fisher_rao_length(path, power, n_steps=settings["length_steps"]),
        "least length": fitted.length,
    }
    arrays = {}
    for steps in settings["n_steps"]:
        for sampler in SAMPLERS:
            made = spectrum_made(path, power, steps, ancestral=sampler == "ancestral")
            values[f"{sampler} {steps}"] = divergence(made, power)
            if seed == 0 and steps == 10 and sampler == "flow":
                arrays["made"] = made.squeeze().float().numpy()
                arrays["power"] = power.squeeze().float().numpy()
    return Outcome(values, arrays)


@lru_cache(maxsize=3)
def shortest(seed: int, share: float) -> ShortestPath:
    """The shortest path to a random part of the patches."""
    x = load_photographs("all").x
    pick = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[: int(share * len(x))]
    return ShortestPath.fit(x[pick])


def spectrum_made(path: SpatiallyLinearPath, power: Tensor, steps: int, *, ancestral: bool = False) -> Tensor:
    """Powers after ``steps`` uniform steps from white noise, with the exact denoiser.

    From x the best estimates are ``x1 = a D x / (a^2 D + b^2)`` and ``x0 = b x / (a^2 D + b^2)``. The flow goes on to
    ``a' x1 + b' x0``; the ancestral sampler draws from the law of ``x_t'`` given ``x_t`` and x1.
    """
    v = torch.ones_like(power)
    times = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    for now, soon in itertools.pairwise(times):
        a, b, a1, b1 = (k(time) for time in (now, soon) for k in (path.beta, path.alpha))
        total = a.square() * power + b.square()
        # x_t' given x_t and x1 keeps the part b1^2 a / (b a1) of the noise, and the rest of b1^2 is drawn afresh
        kept = a / a1 * b1.square() / b if ancestral else b1
        noise = b1.square() - kept.square() if ancestral else torch.zeros_like(power)
        gain = (a1 * a * power + kept * b) / total
        v = gain.square() * v + noise
    return v


def divergence(made: Tensor, power: Tensor) -> float:
    """KL(made || data) of centred Gaussians, in nats."""
    ratio = made / power
    return 0.5 * float((ratio - 1 - ratio.log()).sum())
