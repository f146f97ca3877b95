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
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, Series, across, cloud, strips
from interpolants.framework.seeds import Results, Stated, markdown, shown
from interpolants.metrics import energy_distance
from interpolants.paths import VP, OneSidedLinear, OneSidedTrigonometric, ShortestPath, fisher_rao_length
from interpolants.paths.path import SpatiallyLinearPath
from interpolants.paths.spectrum import measured_spectrum, radius
from interpolants.training.pairs import learn_fields
from interpolants.training.settings import TrainSettings
from studies.common import Study

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


def measure(case: str, seed: int, settings: Settings) -> Answered:
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
    return measured(values, arrays)


def _learnt(name: str, seed: int, settings: Settings) -> Answered:
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
            learnt.fields, start, method="ddim", n_steps=steps, time_grid="uniform", invariant=False, chunk=n
        )
        values[f"spectrum {steps}"] = spectrum_error(done.x, fitted)
        values[f"distance {steps}"] = energy_distance(true, done.x).value
        if seed == 0 and steps in settings["n_steps"][1:2]:
            arrays["samples"] = (127.5 * (done.x[:6, 0].clamp(-1, 1) + 1)).round().byte().numpy()
            arrays["patches"] = (127.5 * (true[:6, 0] + 1)).round().byte().numpy()
    return measured(values, arrays, timed=("training, seconds",))


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
    ``a' x1 + b' x0``; the ancestral sampler draws from the distribution of ``x_t'`` given ``x_t`` and x1.
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


# --- table and figures ---------------------------------------------------------------------------------------


_EXACT = (SHORTEST, *PATHS)
_MEASURES = {"spectrum": "mean \\|log(power / wanted)\\|", "distance": "energy distance x 1000"}


def table(results: Results) -> str:
    """Lengths and divergences, and the shortest path against the best of the others, seed by seed."""
    steps = results.settings["n_steps"]
    keys = [f"{sampler} {n}" for sampler in SAMPLERS for n in steps]
    text = (
        f"Seeds {', '.join(map(str, results.seeds))}; mean ± standard error over halves of the patches.\n\n"
    )
    head = ["KL(made \\|\\| data), nats", "Fisher-Rao length", *(f"{key} steps" for key in keys)]
    rows = results.rows([case for case in _EXACT if results.names(case)], dict.fromkeys(["length", *keys], 2))
    text += markdown(head, rows) + "\n"
    found = [[key, *_best(results, key)] for key in keys]
    text += markdown(["sampler and steps", "shortest / best other", "below a half in seeds"], found)
    return text + _learnt_tables(results)


def _learnt_tables(results: Results) -> str:
    """Quality of what a learnt denoiser makes, and the shortest path against the others, seed by seed."""
    steps, text = results.settings["learnt"]["n_steps"], ""
    for kind, words in _MEASURES.items():
        factor, digits = (1000, 2) if kind == "distance" else (1, 3)
        keys = [*(f"{kind} {n}" for n in steps), f"{kind} floor"]
        head = [f"learnt: {words}", *(f"{n} steps" for n in steps), "true patches"]
        rows = [
            [name, *(results.shown(f"{LEARNT} / {name}", key, digits, factor) for key in keys)]
            for name in LEARNT_PATHS
        ]  # fmt: skip
        text += "\n" + markdown(head, rows)
    head, rows = ["the shortest path's is lower in seeds", *(f"{n} steps" for n in steps)], []
    for kind, words in _MEASURES.items():
        for name in LEARNT_PATHS[1:]:
            pairs = [
                [results.values(f"{LEARNT} / {k}", f"{kind} {n}") for k in (SHORTEST, name)] for n in steps
            ]
            wins = [f"{sum(a < b for a, b in zip(*pair, strict=False))} of {len(pair[0])}" for pair in pairs]
            rows.append([f"{words}, than {name}", *wins])
    named = {f"last training loss per pixel, {name}": f"{LEARNT} / {name}" for name in LEARNT_PATHS}
    rows += [[*row, *("" for _ in steps[1:])] for row in results.rows(named, ["training loss"])]
    return text + "\n" + markdown(head, rows)


def _best(results: Results, key: str) -> list[str]:
    own = results.values(SHORTEST, key)
    others = [results.values(name, key) for name in PATHS]
    if not own or any(len(values) != len(own) for values in others):
        return ["–", "–"]
    ratios = [mine / min(rest) for mine, *rest in zip(own, *others, strict=True)]
    return [shown(ratios, 2), f"{sum(ratio < 0.5 for ratio in ratios)} of {len(ratios)}"]


def figures(results: Results) -> list[Figure]:
    """Powers along the path, and what was learnt."""
    return [_powers(results), _learnt_figure(results)]


def _powers(results: Results) -> Figure:
    """Powers along the path, the signal's share by frequency, and errors of the powers after ten steps."""
    path = shortest(0, results.settings["share"])
    frequency = radius(tuple(path.spectrum.shape)).flatten()

    def dots(power: Any, name: str, hue: int) -> Series:
        points = torch.stack([frequency, torch.as_tensor(power).flatten().to(frequency)], 1)
        return cloud(points, name, hue, size=2)

    first = [dots(path.spectrum**t, f"t = {t:g}", k) for k, t in enumerate((0.0, 0.25, 0.5, 0.75, 1.0))]
    t = torch.linspace(0, 1, 201, dtype=torch.float64)
    signal, second = path.beta(t).square().flatten(1), []
    for k, f in enumerate((0, 1, 4, 16)):
        line = {"x": t, "y": signal[:, int((frequency - f).abs().argmin())]}
        second.append(Series(mark="line", arrays=line, name=f"|f| = {f}", hue=k))
    third = [across(1, "", dash="-")]
    for k, name in enumerate(_EXACT):
        arrays = results.arrays(name, 0)
        third += [dots(arrays["made"] / arrays["power"], name, k)] if arrays else []
    cycles = Axis(label="cycles per image")
    panels = tuple(
        Panel(series=tuple(series), title=title, x=x, y=Axis(label=y, scale=scale, grid=True), legend="best")
        for series, title, x, y, scale in (
            (first, "Power of x_t", cycles, "power", "log"),
            (second, "Share of the signal, a²", Axis(label="time t"), "a²", "linear"),
            (third, "Made / wanted, 10 steps", cycles, "ratio of powers", "log"),
        )
    )
    return Figure(name="powers", panels=panels, width=900, height=300)


def _learnt_figure(results: Results) -> Figure:
    """Quality against steps, and samples of the second number of steps beside patches."""
    steps, panels = results.settings["learnt"]["n_steps"], []
    for kind, factor, words in (
        ("spectrum", 1, "mean |log(power / wanted)|"),
        ("distance", 1000, _MEASURES["distance"]),
    ):
        series = [
            results.curve(
                steps, [(f"{LEARNT} / {name}", f"{kind} {n}") for n in steps], name, k, factor=factor
            )
            for k, name in enumerate(LEARNT_PATHS)
        ]
        series.append(
            across(factor * results.mean(f"{LEARNT} / {SHORTEST}", f"{kind} floor"), "true patches")
        )
        x, y = Axis(label="denoising steps", scale="log", ticks=tuple(steps)), Axis(label=words, grid=True)
        legend, title = "" if panels else "best", "Learnt, 16 x 16 patches"
        panels.append(Panel(series=tuple(series), title=title, x=x, y=y, legend=legend))
    shots = {name: results.arrays(f"{LEARNT} / {name}", 0) for name in LEARNT_PATHS}
    if all(shots.values()):
        rows = {name: arrays["samples"] for name, arrays in shots.items()}
        rows["patches"] = shots[SHORTEST]["patches"]
        title = f"{steps[1]} steps, from one noise"
        panels.append(strips(list(rows.values()), low=0, high=255, names=list(rows), title=title, width=0.9))
    return Figure(name="learnt", panels=tuple(panels), width=940, height=290)


CLAIMS = (
    *(
        Stated(f"{sampler}_{n}.kl < 0.5 linear", (SHORTEST, f"{sampler} {n}"), ("linear", f"{sampler} {n}"),
               expected="fails" if (sampler, n) == ("flow", 100) else "holds")
        for sampler in SAMPLERS for n in (10, 20, 100)
    ),
    *(
        Stated(f"learnt_{n}.distance < linear", (f"{LEARNT} / {SHORTEST}", f"distance {n}"),
               (f"{LEARNT} / linear", f"distance {n}"))
        for n in (5, 10, 20)
    ),
)  # fmt: skip

STUDY = Study("shortest_path", SETTINGS, cases, measure, table, figures, CLAIMS)
