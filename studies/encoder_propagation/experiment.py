"""Do features of an encoder, kept over several steps, beat a run of fewer steps?

Handwritten digits, 8 x 8 pixels, of mean 0 and standard deviation 1. Three networks that come apart into encoder and
decoder are trained; each makes the same samples, from the same noise by DDIM, in 50 steps and by cheaper plans. The
error of a plan is its squared distance to the samples of the full run over their squared size; the Fréchet distance to
the data is taken in their first 20 principal components. Held answers are DDIM with steps at the keys alone.
"""

import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from interpolants.data import load
from interpolants.dynamics import sample
from interpolants.fields import LearnedFields
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.seeds import Results, Stated, markdown
from interpolants.generative.acceleration.cost_model import propagation_cost
from interpolants.generative.acceleration.encoder_propagation import (
    EncoderPropagation,
    tune_encoder_propagation,
)
from interpolants.generative.acceleration.feature_observer import feature_change
from interpolants.generative.acceleration.key_steps import key_steps
from interpolants.generative.acceleration.prior_noise import PriorNoise
from interpolants.metrics import frechet_distance
from interpolants.nets import UNet, build_net
from interpolants.paths import VP, OneSidedLinear
from interpolants.training.pairs import learn_fields
from interpolants.training.settings import TrainSettings
from studies.common import Study

Settings = Mapping[str, Any]
UNET, PERCEPTRON, TRANSFORMER, SPEED = "U-Net", "MLP U-Net", "transformer", "speed"
PUBLISHED = "stable_diffusion"

_NETS = {
    UNET: {"name": "unet", "channels": 16, "multipliers": [1, 2, 2], "blocks": 1, "attention": []},
    PERCEPTRON: {"name": "mlp_unet"},
    TRANSFORMER: {"name": "image_transformer", "width": 64, "depth": 7, "long_skips": True},
}
SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {"steps": 20, "batch": 32, "n": 64, "n_steps": 50, "timed": {"channels": 8, "side": 8, "rows": 8}},
    "laptop": {"steps": 1500, "batch": 128, "n": 500, "n_steps": 50, "timed": {"channels": 64, "side": 28, "rows": 64}},
    "full": {"steps": 20_000, "batch": 256, "n": 1437, "n_steps": 50,
             "timed": {"channels": 64, "side": 28, "rows": 64}},
}  # fmt: skip
# Plans by name: every fifth step, published keys, and the runs of as few steps that they must beat.
PLANS = ("full", "held", "kept", "refresh 1", "refresh 2", "measured keys", "measured keys, refresh 1",
         "kept, prior noise", "published keys, held", "published keys", "published keys, refresh 1")  # fmt: skip


def cases(settings: Settings) -> Sequence[str]:
    """The networks, and the seconds of an untrained one of the default size."""
    return (*_NETS, SPEED)


@lru_cache(maxsize=1)
def digits() -> Tensor:
    """Digits ``(N, 1, 8, 8)``."""
    x = load("digits", "train").x.float()
    return (x - x.mean()) / x.std()


def learn(case: str, seed: int, settings: Settings) -> LearnedFields:
    """The noise by a U-Net on a variance-preserving path, the velocity by the others on a straight one."""
    path, head = (VP(), "noise") if case == UNET else (OneSidedLinear(), "velocity")
    net = build_net(**_NETS[case], shape=(1, 8, 8), seed=seed)
    loop = TrainSettings(
        steps=settings["steps"],
        batch_size=settings["batch"],
        lr=2e-3,
        schedule="cosine",
        ema=0.995,
        seed=seed,
    )
    return learn_fields(path, None, digits(), heads=(head,), net=net, settings=loop).fields


def measure(case: str, seed: int, settings: Settings) -> Answered:
    """One network, or the seconds."""
    return _seconds(seed, settings) if case == SPEED else _quality(case, seed, settings)


def _quality(case: str, seed: int, settings: Settings) -> Answered:
    fields, n = learn(case, seed, settings), settings["n_steps"]
    x = torch.randn(settings["n"], 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    run: dict[str, Any] = {"method": "ddim", "n_steps": n, "time_grid": "uniform"}
    change = feature_change(fields, x[:64], **run)
    values = {
        "encoder, change": float(change.encoder.mean()),
        "decoder, change": float(change.decoder.mean()),
        "encoder, largest": float(change.encoder.max()),
        "decoder, smallest": float(change.decoder.min()),
    }
    made = {plan: _made(plan, fields, x, run) for plan in PLANS}
    size = made["full"].square().sum()
    for plan, found in made.items():
        values[f"{plan}, distance"] = frechet_distance(found, digits()).value
        if plan != "full":
            values[f"{plan}, error"] = float((found - made["full"]).square().sum() / size)
    arrays = {"encoder": change.encoder, "decoder": change.decoder}
    return measured(values, {name: part.numpy() for name, part in arrays.items()} if seed == 0 else {})


def _made(plan: str, fields: LearnedFields, x: Tensor, run: Mapping[str, Any]) -> Tensor:
    """Samples by a plan."""
    n = run["n_steps"]
    if plan.endswith("held"):
        keys = key_steps(PUBLISHED if plan.startswith("published") else 5, n)
        grid = [key / n for key in keys] + [1.0]
        return sample(fields, x, method="ddim", n_steps=len(keys), time_grid=grid).x
    levels = int(plan[-1]) if plan[-1].isdigit() else 0
    if plan.startswith("measured"):
        tuned = tune_encoder_propagation(fields, x[:64], n // 5, refresh_levels=levels, **run)
        return sample(fields, x, modifiers=tuned, **run).x
    keys = PUBLISHED if plan.startswith("published") else 1 if plan == "full" else 5
    chosen: list[Any] = [
        EncoderPropagation(keys, levels, most_rows=2**20),
        *([PriorNoise()] if "prior" in plan else []),
    ]
    return sample(fields, x, modifiers=chosen, **run).x


def _seconds(seed: int, settings: Settings) -> Answered:
    """A default U-Net, untrained: seconds do not depend on weights. Plans run in turn; seeds are the repeats."""
    own = settings["timed"]
    shape = (1, own["side"], own["side"])
    net = UNet(shape, channels=own["channels"], seed=seed).eval()
    x = torch.randn(own["rows"], *shape, generator=torch.Generator().manual_seed(seed))
    fields, n = LearnedFields(VP(), noise=net), 5
    run = {"method": "ddim", "n_steps": n, "chunk": len(x), "invariant": False}
    plans: dict[str, tuple[int, list[EncoderPropagation]]] = {
        "plain": (n, []),
        "kept, in one batch": (n, [EncoderPropagation(5, parallel=True)]),
        "kept, one by one": (n, [EncoderPropagation(5, parallel=False)]),
        "refreshed": (n, [EncoderPropagation(5, 1)]),
        "held": (n // 5, []),
    }
    seconds = {}
    sample(fields, x, **{**run, "n_steps": 1})  # the first call is slower
    for name, (steps, chosen) in plans.items():
        begun = time.process_time()  # of this process alone: the machine may be busy
        sample(fields, x, modifiers=chosen, **{**run, "n_steps": steps})
        seconds[name] = time.process_time() - begun
    cost = propagation_cost(net, x, keys=5, n_steps=n, repeats=3)
    values = {f"{name}, seconds": found for name, found in seconds.items()}
    values |= {f"{name}, ratio": found / seconds["plain"] for name, found in seconds.items()}
    values |= {"encoder, share": cost.share, "cost model, ratio": cost.ratio}
    return measured(values, timed=tuple(values))


# --- table and figures ---------------------------------------------------------------------------------------


def table(results: Results) -> str:
    """Errors, distances, changes and seconds."""
    nets = [case for case in results.cases if case != SPEED]
    head = ["plan", "encoder calls", *nets]
    n = results.settings["n_steps"]
    calls = {plan: _calls(plan, n) for plan in PLANS}
    text = results.head + "\nError against the full run, times 1000\n\n"
    rows = [
        [plan, calls[plan], *(results.shown(c, f"{plan}, error", 2, 1000) for c in nets)]
        for plan in PLANS[1:]
    ]
    text += markdown(head, rows) + "\nFréchet distance to the data, 20 principal components\n\n"
    text += markdown(
        head, [[plan, calls[plan], *(results.shown(c, f"{plan}, distance") for c in nets)] for plan in PLANS]
    )
    text += "\nRelative change of features per step\n\n"
    names = ("encoder, change", "decoder, change", "encoder, largest", "decoder, smallest")
    text += markdown(["network", *names], results.rows(nets, names))
    text += "\nProcessor time over that of the plain run: a U-Net of 64 channels, 64 images of 28 x 28, "
    text += "five steps, the first a key\n\n"
    timed = ("kept, in one batch", "kept, one by one", "refreshed", "held", "cost model")
    return text + markdown(
        ["", *timed, "encoder's share"],
        results.rows([SPEED], [*(f"{name}, ratio" for name in timed), "encoder, share"]),
    )


def _calls(plan: str, n: int) -> str:
    if plan == "full":
        return str(n)
    keys = len(key_steps(PUBLISHED if plan.startswith("published") else 5, n))
    return f"{keys} + {n - keys} shallow" if "refresh" in plan else str(keys)


def figures(results: Results) -> list[Figure]:
    """Changes along the path, and errors by plan."""
    ticks = tuple(range(len(PLANS) - 1))
    names = tuple(plan.replace(" keys", "\nkeys").replace(", ", "\n") for plan in PLANS[1:])
    nets = [case for case in results.cases if case != SPEED]
    errors = tuple(
        results.curve(ticks, [(case, f"{plan}, error") for plan in PLANS[1:]], case, k, dash="")
        for k, case in enumerate(nets)
    )
    x = Axis(ticks=ticks, names=names)
    right = Panel(series=errors, title="Error against the full run", x=x,
                  y=Axis(label="squared, relative", scale="log", grid=True), legend="best", width=2.4)  # fmt: skip
    return [Figure(name="errors", panels=(_change_panel(results), right), width=1250, height=330)]


def _change_panel(results: Results) -> Panel:
    series = []
    for k, case in enumerate(case for case in results.cases if case != SPEED):
        found = results.arrays(case, 0)
        for part, dash in (("encoder", "-"), ("decoder", ":")) if found else ():
            t = [(j + 1) / len(found[part]) for j in range(len(found[part]))]
            arrays = {"x": t, "y": found[part]}
            series.append(Series(mark="line", arrays=arrays, name=f"{case}, {part}", hue=k, dash=dash))
    y = Axis(label="relative change per step", scale="log", grid=True)
    return Panel(series=tuple(series), title="Change of features", x=Axis(label="t"), y=y, legend="best")


CLAIMS = (
    Stated("unet_refreshed.error < 0.25 held", (UNET, "refresh 1, error"), (UNET, "held, error"), "trivial",
           expected="fails"),
    Stated("unet_refreshed.error < 0.4 held", (UNET, "refresh 1, error"), (UNET, "held, error"), "trivial"),
    Stated("mlp_refreshed.error < 0.25 held", (PERCEPTRON, "refresh 1, error"), (PERCEPTRON, "held, error"), "trivial"),
    Stated("unet_refreshed.distance < 1.3 full", (UNET, "refresh 1, distance"), (UNET, "full, distance")),
    Stated("unet_refreshed.distance < 1.5 full", (UNET, "refresh 1, distance"), (UNET, "full, distance")),
    Stated("unet_refreshed.distance < held", (UNET, "refresh 1, distance"), (UNET, "held, distance"), "trivial"),
    Stated("unet_kept.error < held", (UNET, "kept, error"), (UNET, "held, error"), "trivial", expected="fails"),
    Stated("mlp_kept.error < held", (PERCEPTRON, "kept, error"), (PERCEPTRON, "held, error"), "trivial"),
    Stated("published.error < published_held", (UNET, "published keys, error"),
           (UNET, "published keys, held, error"), "trivial", expected="fails"),
    Stated("measured.error < kept", (UNET, "measured keys, error"), (UNET, "kept, error"), expected="fails"),
    Stated("encoder.change < decoder", (UNET, "encoder, change"), (UNET, "decoder, change")),
    Stated("encoder.largest < decoder_smallest", (UNET, "encoder, largest"), (UNET, "decoder, smallest"),
           expected="fails"),
    Stated("one_batch.seconds < 0.8 plain", (SPEED, "kept, in one batch, seconds"), (SPEED, "plain, seconds"),
           expected="fails"),
    Stated("one_by_one.seconds < 0.8 plain", (SPEED, "kept, one by one, seconds"), (SPEED, "plain, seconds")),
    Stated("refreshed.seconds < 0.8 plain", (SPEED, "refreshed, seconds"), (SPEED, "plain, seconds")),
)  # fmt: skip

STUDY = Study("encoder_propagation", SETTINGS, cases, measure, table, figures, CLAIMS)
