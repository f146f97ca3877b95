"""What does a schedule of its own for every spatial frequency save in sampling steps?

Gaussian data with the power spectrum of photographs, where the best denoiser is linear and samplers act on each
frequency by itself: the spectrum of what T steps make, and its divergence from that of the data, follow in closed form.
Each seed takes another random half of the patches.

And learnt: the patches themselves, half as fine, by a small U-Net that predicts the end point, the same for every path.
What T denoising steps make is held against the patches by its spectrum and by the energy distance.

Letters: ``D`` power of a coordinate of the data, ``a, b`` coefficients of data and noise in it, ``v`` power of what the
sampler has made.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from interpolants.data import load_photographs
from interpolants.dynamics import sample
from interpolants.metrics import energy_distance
from interpolants.paths import VP, OneSidedLinear, OneSidedTrigonometric, ShortestPath, fisher_rao_length
from interpolants.paths.path import SpatiallyLinearPath
from interpolants.paths.spectrum import measured_spectrum
from interpolants.training.pairs import learn_fields
from interpolants.training.settings import TrainSettings
from studies.common import Outcome

Settings = Mapping[str, Any]
SHORTEST = "shortest"
PATHS: dict[str, Callable[[], SpatiallyLinearPath]] = {
    "cosine": OneSidedTrigonometric,
    "VP, linear beta": VP,
    "linear": OneSidedLinear,
}
SAMPLERS = ("flow", "ancestral")

LEARNT = "learnt"
LEARNT_PATHS = (SHORTEST, "linear", "cosine")
_START, _TRUE = range(2)

SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {
        "n_steps": [10, 20], "share": 0.1, "length_steps": 500,
        "learnt": {"net": {"channels": 4, "multipliers": [1], "blocks": 1, "attention": []}, "train": 4, "batch": 8,
                   "lr": 2e-3, "ema": 0.5, "n": 20, "n_steps": [2, 4], "patches": 500},
    },
    "laptop": {
        "n_steps": [10, 20, 100], "share": 0.5, "length_steps": 2000,
        "learnt": {"net": {"channels": 16, "multipliers": [1, 2], "blocks": 1, "attention": []}, "train": 400,
                   "batch": 32, "lr": 2e-3, "ema": 0.99, "n": 250, "n_steps": [5, 10, 20], "patches": 8928},
    },
    "full": {
        "n_steps": [10, 20, 50, 100, 1000], "share": 0.5, "length_steps": 20_000,
        "learnt": {"net": {"channels": 64, "multipliers": [1, 2, 2], "blocks": 2, "attention": [-1]}, "train": 100_000,
                   "batch": 128, "lr": 2e-4, "ema": 0.9999, "n": 4000, "n_steps": [5, 10, 20, 50, 200],
                   "patches": 8928},
    },
}  # fmt: skip


def cases(_: Settings) -> Sequence[str]:
    """The paths with the exact denoiser, and some of them with a learnt one."""
    return (SHORTEST, *PATHS, *(f"{LEARNT} / {name}" for name in LEARNT_PATHS))


def measure(case: str, seed: int, settings: Settings) -> Outcome:
    """Divergences by sampler and number of steps, and the length of the path; or what a learnt denoiser makes."""
    if case.startswith(LEARNT):
        return _learnt(case.removeprefix(f"{LEARNT} / "), seed, settings["learnt"])
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


def _learnt(name: str, seed: int, settings: Settings) -> Outcome:
    """Patches of 16 x 16 from the same noise in several numbers of denoising steps."""
    x1 = avg_pool2d(load_photographs("all").x[: settings["patches"]], 2)
    fitted, n = ShortestPath.fit(x1), settings["n"]
    path = fitted if name == SHORTEST else PATHS[name]()
    learnt = learn_fields(
        path,
        None,
        x1,
        heads=("denoised",),
        net={"kind": "unet", **settings["net"]},
        settings=TrainSettings(
            steps=settings["train"],
            batch_size=settings["batch"],
            lr=settings["lr"],
            schedule="cosine",
            warmup=min(50, settings["train"]),
            ema=settings["ema"],
            seed=seed,
        ),
    )
    start = torch.randn(n, *x1.shape[1:], generator=_generator(seed, _START))
    pick = torch.randperm(len(x1), generator=_generator(seed, _TRUE))
    true, other = x1[pick[:n]], x1[pick[n : 2 * n]]
    values = {
        "training loss": learnt.result.history[-1]["loss"] / x1[0].numel(),
        "training, seconds": learnt.result.seconds,
        "spectrum floor": spectrum_error(true, fitted),
        "distance floor": energy_distance(true, other).value,
    }
    arrays = {}
    for steps in settings["n_steps"]:
        done = sample(
            learnt.fields,
            start,
            method="ddim",
            n_steps=steps,
            time_grid="uniform",
            invariant=False,
            chunk=n,
        )
        values[f"spectrum {steps}"] = spectrum_error(done.x, fitted)
        values[f"distance {steps}"] = energy_distance(true, done.x).value
        if seed == 0 and steps in settings["n_steps"][1:2]:
            arrays["samples"] = (127.5 * (done.x[:6, 0].clamp(-1, 1) + 1)).round().byte().numpy()
            arrays["patches"] = (127.5 * (true[:6, 0] + 1)).round().byte().numpy()
    return Outcome(values, arrays)


def spectrum_error(x: Tensor, fitted: ShortestPath) -> float:
    """Mean of ``|log(power of x / power of the data)|`` over all frequencies."""
    return float((measured_spectrum(x, fitted.basis) / fitted.spectrum).log().abs().mean())


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


def _generator(seed: int, purpose: int) -> torch.Generator:
    return torch.Generator().manual_seed(1000 * seed + purpose)
