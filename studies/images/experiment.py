"""Images of clothes by one-sided paths, resampled by a mirror path; what the noise level does to the variety.

Two one-sided paths carry noise to images: one network each, for the velocity, from which the score follows. Many
samples from one start point tell how much variety the noise level eps adds. The mirror path, gamma = sqrt(10 t(1-t)),
takes an image it has not seen to other images: one network, for the noise. Nearest neighbours among the training
images tell copying from making.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from interpolants.data.images import load_fashion_mnist
from interpolants.dynamics.sample import sample
from interpolants.fields.learned import LearnedFields
from interpolants.metrics.diversity import memorisation
from interpolants.metrics.energy_distance import energy_distance
from interpolants.paths.envelopes import BrownianEnvelope
from interpolants.paths.linear import OneSidedLinear
from interpolants.paths.mirror import Mirror
from interpolants.paths.path import Path
from interpolants.paths.trigonometric import OneSidedTrigonometric
from interpolants.training.pairs import learn_fields
from interpolants.training.settings import TrainSettings
from studies.common import Outcome

Settings = Mapping[str, Any]
PATHS: dict[str, Path] = {
    "one-sided linear": OneSidedLinear(),
    "one-sided trigonometric": OneSidedTrigonometric(),
    "mirror": Mirror(envelope=BrownianEnvelope(scale=10.0)),
}
LEVELS = {"one-sided linear": "eps", "one-sided trigonometric": "eps", "mirror": "mirror_eps"}
_START, _NOISE, _CHOICE = range(3)

SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {
        "pool": 4, "train": 500, "net": {"channels": 4, "multipliers": [1], "blocks": 1, "attention": []},
        "steps": 4, "batch": 8, "lr": 1e-3, "ema": 0.5, "eps": [0.0, 1.0], "mirror_eps": [0.0, 10.0], "n": 24,
        "starts": 2, "each": 3, "n_steps": 3,
    },
    "laptop": {
        "pool": 2, "train": 60_000, "net": {"channels": 16, "multipliers": [1, 2], "blocks": 1, "attention": []},
        "steps": 1500, "batch": 64, "lr": 2e-3, "ema": 0.99, "eps": [0.0, 1.0, 2.0, 4.0],
        "mirror_eps": [0.0, 1.0, 10.0], "n": 256, "starts": 8, "each": 8, "n_steps": 40,
    },
    "full": {
        "pool": 1, "train": 60_000,
        "net": {"channels": 128, "multipliers": [1, 2, 2], "blocks": 2, "attention": [-1]}, "steps": 200_000,
        "batch": 128, "lr": 2e-4, "ema": 0.9999, "eps": [0.0, 1.0, 2.0, 4.0], "mirror_eps": [0.0, 1.0, 10.0],
        "n": 5000, "starts": 64, "each": 16, "n_steps": 500,
    },
}  # fmt: skip


def cases(settings: Settings) -> Sequence[str]:
    """The three paths."""
    return tuple(PATHS)


def measure(case: str, seed: int, settings: Settings) -> Outcome:
    """Samples of one path at every noise level."""
    seen, unseen = images(settings["pool"], settings["train"])
    fields = _learn(PATHS[case], seen, seed, settings)
    pick = torch.randperm(len(unseen), generator=_generator(seed, _CHOICE))
    n, starts, each = settings["n"], settings["starts"], settings["each"]
    held_out, others = unseen[pick[:n]], unseen[pick[n : 2 * n]]
    values = {
        "spread of data": spread(held_out[None]),
        "floor energy": energy_distance(held_out, others).value,
    }
    values["start to others"] = _apart(held_out, others)
    noise = torch.randn((n, *seen.shape[1:]), generator=_generator(seed, _START))
    begin = held_out if case == "mirror" else noise
    arrays: dict[str, Any] = {}
    for eps in settings[LEVELS[case]]:
        options: dict[str, Any] = {"eps": eps, "n_steps": settings["n_steps"], "seed": 10 * seed + _NOISE}
        options["method"] = "heun"
        made = sample(fields, begin, **options).x
        # Several samples of each start: the noise of a row belongs to its place, so all rows differ.
        again = sample(fields, begin[:starts].repeat_interleave(each, 0), **options).x
        name = f"eps={eps:g}"
        copied = memorisation(made, seen, held_out)
        values |= {
            f"{name} spread": spread(again.reshape(starts, each, *seen.shape[1:])),
            f"{name} energy": energy_distance(others, made).value,
            f"{name} from start": _apart(made, begin),
            f"{name} closer": copied.closer.value,
            f"{name} neighbour": float(copied.generated.median()),
            "neighbour of data": float(copied.held_out.median()),
        }
        if seed == 0:
            arrays |= {
                f"{name} samples": _bytes(made[:64]),
                f"{name} again": _bytes(again[:each]),
                f"{name} neighbours": _bytes(seen[copied.neighbour[:64]]),
            }
    if seed == 0:
        arrays["start"] = _bytes(begin[:64])
    return Outcome(values, arrays)


@lru_cache(maxsize=1)
def images(pool: int, train: int) -> tuple[Tensor, Tensor]:
    """Training and test images in [-1, 1], ``(N, 1, H, W)``, averaged over ``pool`` x ``pool`` pixels."""
    parts = [load_fashion_mnist(split).x for split in ("train", "test")]
    small = [avg_pool2d(part, pool) if pool > 1 else part for part in parts]
    return small[0][:train].contiguous(), small[1].contiguous()


def spread(groups: Tensor) -> float:
    """Root mean square distance of two members of a group, per pixel; ``(G, M, *D)``."""
    flat = groups.flatten(2).double()
    # E|x - y|^2 over two distinct members is twice the unbiased variance.
    return float((2 * flat.var(1, correction=1)).mean().sqrt())


def _apart(first: Tensor, second: Tensor) -> float:
    """Root mean square distance of row to row, per pixel."""
    return float((first - second).double().square().mean().sqrt())


def _learn(path: Path, seen: Tensor, seed: int, settings: Settings) -> LearnedFields:
    train = TrainSettings(
        steps=settings["steps"],
        batch_size=settings["batch"],
        lr=settings["lr"],
        schedule="cosine",
        warmup=min(100, settings["steps"] // 2),
        ema=settings["ema"],
        seed=seed,
    )
    head = "noise" if path.is_static else "velocity"
    net = {"kind": "unet", **settings["net"]}
    return learn_fields(path, None, seen, heads=(head,), net=net, settings=train).fields


def _bytes(x: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Images as levels 0 .. 255, ``(N, H, W)``."""
    levels: np.ndarray[Any, np.dtype[np.uint8]] = ((x[:, 0].clamp(-1, 1) + 1) * 127.5).round().byte().numpy()
    return levels


def _generator(seed: int, purpose: int) -> torch.Generator:
    return torch.Generator().manual_seed(1000 * seed + purpose)
