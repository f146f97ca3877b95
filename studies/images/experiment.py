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

from interpolants.data.sets.images import load_fashion_mnist
from interpolants.dynamics.sample import sample
from interpolants.fields.learned import LearnedFields
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, across, strips
from interpolants.framework.seeds import Results, Stated, markdown
from interpolants.metrics.diversity import memorisation
from interpolants.metrics.energy_distance import energy_distance
from interpolants.paths.envelopes import BrownianEnvelope
from interpolants.paths.linear import OneSidedLinear
from interpolants.paths.mirror import Mirror
from interpolants.paths.path import Path
from interpolants.paths.trigonometric import OneSidedTrigonometric
from interpolants.training.pairs import learn_fields
from interpolants.training.settings import TrainSettings
from studies.common import Study

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


def measure(case: str, seed: int, settings: Settings) -> Answered:
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
    return measured(values, arrays)


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


# --- table and figures ---------------------------------------------------------------------------------------


def table(results: Results) -> str:
    """Variety, distance to the data and nearest neighbours, for each path and noise level."""
    head = ["path", "eps", "spread of samples of one start", "distance to the start", "energy distance to test images",
            "median distance to nearest training image", "closer to training than test images are"]  # fmt: skip
    rows = []
    for case in results.cases:
        for eps in results.settings[LEVELS[case]]:
            keys = ("spread", "from start", "energy", "neighbour", "closer")
            rows.append([case, f"{eps:g}", *(results.shown(case, f"eps={eps:g} {key}") for key in keys)])
    first = results.cases[0]
    data = ("spread of data", "start to others", "floor energy", "neighbour of data")
    rows.append(["test images", "", *(results.shown(first, key) for key in data), "0.5"])
    text = f"Seeds {', '.join(map(str, results.seeds))}; mean ± standard error over seeds. "
    text += "Spread and distance are root mean squares per pixel, images in [-1, 1]; "
    text += "the spread of test images is that of unrelated ones.\n"
    return "\n".join(
        [text, markdown(head, rows), "**Does variety grow with eps, seed by seed?**\n", _grows(results)]
    )


def _grows(results: Results) -> str:
    rows = []
    for case in results.cases:
        levels = results.settings[LEVELS[case]]
        curves = np.array([results.values(case, f"eps={eps:g} spread") for eps in levels])
        grows = int((np.diff(curves, axis=0) > 0).all(0).sum())
        rows.append([case, f"{grows} of {curves.shape[1]}"])
    return markdown(["path", "spread grows at every step of eps, in seeds"], rows)


def figures(results: Results) -> list[Figure]:
    """Grids of samples, samples of one start at several noise levels, neighbours, and variety against eps."""
    shots = {case: arrays for case in results.cases if (arrays := results.arrays(case, 0))}
    albums = {"samples": (_grid, 350), "one_start": (_one_start, 175), "neighbours": (_neighbours, 120)}
    made = [
        Figure(
            name=name, width=330 * len(shots), height=height,
            panels=tuple(draw(results, case, arrays) for case, arrays in shots.items()),
        )
        for name, (draw, height) in albums.items() if shots
    ]  # fmt: skip
    return [*made, _curves(results)]


def _highest(results: Results, case: str) -> float:
    return float(results.settings[LEVELS[case]][-1])


def _grid(results: Results, case: str, arrays: Mapping[str, Any]) -> Panel:
    # The ODE of a mirror path returns what it is given.
    eps = _highest(results, case) if case == "mirror" else 0.0
    shown = arrays[f"eps={eps:g} samples"][:64]
    rows = list(shown[: len(shown) // 8 * 8].reshape(-1, 8, *shown.shape[1:]))
    return strips(rows, low=0, high=255, title=f"{case}, eps = {eps:g}")


def _one_start(results: Results, case: str, arrays: Mapping[str, Any]) -> Panel:
    levels = results.settings[LEVELS[case]]
    rows = [arrays[f"eps={eps:g} again"] for eps in levels]
    names = [f"eps = {eps:g}" for eps in levels]
    return strips(rows, low=0, high=255, names=names, title=f"{case}: samples of one start")


def _neighbours(results: Results, case: str, arrays: Mapping[str, Any]) -> Panel:
    eps = _highest(results, case)
    rows = {"start": arrays["start"][:10]} if case == "mirror" else {}
    rows |= {
        "made": arrays[f"eps={eps:g} samples"][:10],
        "nearest seen": arrays[f"eps={eps:g} neighbours"][:10],
    }
    return strips(list(rows.values()), low=0, high=255, names=list(rows), title=f"{case}, eps = {eps:g}")


def _curves(results: Results) -> Figure:
    panels = []
    for key, floor, title, y in (
        ("spread", "spread of data", "Samples of one start", "spread per pixel"),
        ("energy", "floor energy", "All samples", "energy distance to test images"),
    ):
        series = []
        for hue, case in enumerate(results.cases):
            levels = results.settings[LEVELS[case]]
            series.append(results.curve(levels, [(case, f"eps={eps:g} {key}") for eps in levels], case, hue))
        series.append(across(results.mean(results.cases[0], floor), "test images"))
        x, axis = Axis(label="noise level eps"), Axis(label=y, grid=True)
        panels.append(Panel(series=tuple(series), title=title, x=x, y=axis, legend="best"))
    return Figure(name="variety", panels=tuple(panels), width=760, height=320)


CLAIMS = (
    Stated("linear.variety > little", ("one-sided linear", "eps=4 spread"), ("one-sided linear", "eps=1 spread")),
    Stated("mirror.variety > little", ("mirror", "eps=10 spread"), ("mirror", "eps=1 spread")),
    Stated("mirror_ode.moved < 0.05", ("mirror", "eps=0 from start")),
    Stated("linear.neighbour > data", ("one-sided linear", "eps=4 neighbour"),
           ("one-sided linear", "neighbour of data"), "oracle"),
)  # fmt: skip

STUDY = Study("images", SETTINGS, cases, measure, table, figures, CLAIMS)
