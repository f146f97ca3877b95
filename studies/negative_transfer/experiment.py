"""Do noise levels that share one network hurt each other, and do rules of multi-task learning help?

Handwritten digits by a variance-preserving diffusion that predicts the noise, one residual perceptron, equal numbers of
steps. Five clusters of times, cut by log SNR, are the tasks. Every rule is compared with plain training under the same
times, as many in each cluster; plain training under uniform times shows what these alone do. Affinity of two times is
the cosine of the gradients of their losses, in a network that is half trained.
"""

import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from interpolants.data import load
from interpolants.diagnostics.gradient_affinity import task_affinity
from interpolants.foundations.ops import expand_like
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.seeds import Results, Stated, markdown
from interpolants.methods import Bridge
from interpolants.metrics import energy_distance, frechet_distance
from interpolants.objectives.time_clusters import TimeClusters
from interpolants.paths import VP
from studies.common import Study

Settings = Mapping[str, Any]
PLAIN, AFFINITY = "plain", "affinity"
CLUSTERS = 5
_CUT = {"clusters": CLUSTERS, "by": "log_snr"}
_BALANCED = {"kind": "cluster_balanced", **_CUT}
# Rules by name: the aggregate, and the times.
RULES: dict[str, tuple[Any, Any]] = {
    PLAIN: (None, _BALANCED),
    "plain, uniform times": (None, "uniform"),
    "uncertainty weighting": ({"kind": "uncertainty_weighting", **_CUT}, _BALANCED),
    "PCGrad": ({"kind": "pcgrad", **_CUT}, _BALANCED),
    "Nash": ({"kind": "nash_mtl", **_CUT}, _BALANCED),
    "min-SNR": ("min_snr", _BALANCED),
}

SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {"steps": 20, "batch": 40, "n": 60, "times": 6, "rows": 40, "net": [16, 2]},
    "laptop": {"steps": 3000, "batch": 130, "n": 1000, "times": 25, "rows": 500, "net": [256, 4]},
    "full": {"steps": 50_000, "batch": 250, "n": 1437, "times": 50, "rows": 1000, "net": [512, 6]},
}


def cases(settings: Settings) -> Sequence[str]:
    """The rules, and the affinity of times."""
    return (*RULES, AFFINITY)


@lru_cache(maxsize=1)
def digits() -> Tensor:
    """Digits ``(N, 1, 8, 8)`` of mean 0 and standard deviation 1."""
    x = load("digits", "train").x.float()
    return (x - x.mean()) / x.std()


def learn(case: str, seed: int, settings: Settings, share: float = 1.0) -> Bridge:
    """The bridge that one rule trains."""
    aggregate, times = RULES[case]
    width, depth = settings["net"]
    made = Bridge(
        path="vp", heads=("noise",), net={"kind": "mlp", "width": width, "depth": depth, "residual": True},
        standardize=False, precondition=False, held_out=0, steps=max(1, round(share * settings["steps"])),
        batch_size=settings["batch"], ema=0.995, seed=seed, aggregate=aggregate, times=times,
    )  # fmt: skip
    return made.fit(x1=digits(), progress=False)


def measure(case: str, seed: int, settings: Settings) -> Answered:
    """Distances of one rule, and its errors by cluster; or the affinities."""
    if case == AFFINITY:
        return _affinity(seed, settings)
    begun = time.process_time()  # of this process alone: the machine may be busy
    model = learn(case, seed, settings)
    seconds = time.process_time() - begun
    x = model.sample(settings["n"], seed=seed, method="ddim", n_steps=50)
    values = {
        "distance": frechet_distance(x, digits()).value,
        "energy": energy_distance(x, digits()).value,
    }
    errors = _errors(model, seed, settings["rows"])
    values |= {f"error {k}": error for k, error in enumerate(errors)}
    return measured({**values, "training": seconds}, timed=["training"])


def _errors(model: Bridge, seed: int, rows: int) -> list[float]:
    """Mean squared error of the noise in each cluster, at its middle tenth to nine tenths, on the training digits."""
    edges = [0.0, *TimeClusters.from_log_snr(VP(), CLUSTERS, smallest=4).edges, 1.0]
    source = torch.Generator().manual_seed(5000 + seed)
    found = []
    for low, high in pairwise(edges):
        t = low + (high - low) * (0.1 + 0.8 * torch.rand(rows, generator=source))
        found.append(float(_loss(model, t, source).mean()))
    return found


def _loss(model: Bridge, t: Tensor, source: torch.Generator) -> Tensor:
    """Squared errors of the noise at some times, ``(B,)``."""
    path = VP()
    pick = torch.randint(len(digits()), (len(t),), generator=source)
    x1, z = digits()[pick], torch.randn(len(t), 1, 8, 8, generator=source)
    a, b = (expand_like(part(t), x1) for part in (path.alpha, path.beta))
    guessed = model.fields.networks[0](a * z + b * x1, t)
    return (guessed - z).square().flatten(1).mean(1)


def _affinity(seed: int, settings: Settings) -> Answered:
    """Cosines of gradients at a grid of times, and how they fall with the distance in log SNR."""
    model = learn(PLAIN, seed, settings, share=0.5)
    net = model.fields.networks[0].requires_grad_(True)
    times = torch.linspace(0.02, 0.98, settings["times"], dtype=torch.float64)

    def loss_at(t: float) -> Tensor:
        source = torch.Generator().manual_seed(7000 + seed)
        return _loss(model, torch.full((settings["rows"],), t), source).mean()

    cosines = task_affinity(net, loss_at, times).cosines
    snr = VP().log_snr(times)
    apart = (snr[:, None] - snr).abs()
    upper = torch.triu_indices(len(times), len(times), 1)
    found, far = cosines[upper[0], upper[1]], apart[upper[0], upper[1]]
    values = {
        "spearman": float(torch.corrcoef(torch.stack([_ranks(found), _ranks(-far)]))[0, 1]),
        "neighbours": float(cosines.diagonal(1).mean()),
        "farthest": float(cosines[0, -1]),
        "conflicts": float((found < 0).double().mean()),
    }
    return measured(values, {"times": times.numpy(), "cosines": cosines.numpy()} if seed == 0 else {})


def _ranks(values: Tensor) -> Tensor:
    return values.argsort().argsort().double()


# --- table and figures ---------------------------------------------------------------------------------------


def table(results: Results) -> str:
    """Distances and errors of the rules, and the affinities."""
    names = ["distance", "energy", *(f"error {k}" for k in range(CLUSTERS))]
    head = ["rule", "Fréchet distance", "energy distance", *(f"error, cluster {k}" for k in range(CLUSTERS))]
    rows = results.rows([c for c in results.cases if c != AFFINITY], dict.fromkeys(names, 3))
    seconds = [results.shown(row[0], "training", 0) for row in rows]
    text = results.head + "\nClusters from noise (0) to data (4)\n\n"
    text += markdown([*head, "seconds"], [[*row, told] for row, told in zip(rows, seconds, strict=True)])
    if AFFINITY in results.cases:
        text += "\nAffinity of times\n\n"
        told = ("spearman", "neighbours", "farthest", "conflicts")
        words = ["", "Spearman correlation with nearness in log SNR", "cosine of neighbours", "of the ends",
                 "share of pairs that conflict"]  # fmt: skip
        text += markdown(words, results.rows([AFFINITY], told))
    return text


def figures(results: Results) -> list[Figure]:
    """Affinities of the first seed, and distances of the rules."""
    panels = []
    found = results.arrays(AFFINITY, 0) if AFFINITY in results.cases else {}
    if found:
        t = found["times"]
        extent = (float(t[0]), float(t[-1]), float(t[0]), float(t[-1]))
        heat = Series(mark="heat", arrays={"values": found["cosines"], "extent": extent}, low=-1, high=1)
        panels.append(
            Panel(series=(heat,), title="Cosine of gradients, seed 0", x=Axis(label="t"), y=Axis(label="t"))
        )
    rules = [case for case in results.cases if case != AFFINITY]
    if rules:
        x = tuple(range(len(rules)))
        curve = results.curve(x, [(case, "distance") for case in rules], "", 0, dash="")
        names = tuple(case.replace(" ", "\n") for case in rules)
        y = Axis(label="Fréchet distance", grid=True)
        panels.append(Panel(series=(curve,), title="Rules", x=Axis(ticks=x, names=names), y=y, width=1.6))
    return [Figure(name="negative_transfer", panels=tuple(panels), width=520 * len(panels), height=360)]


def _claims() -> tuple[Stated, ...]:
    found = [
        Stated("affinity.spearman > 0.5", (AFFINITY, "spearman")),
        Stated("affinity.neighbours > farthest", (AFFINITY, "neighbours"), (AFFINITY, "farthest")),
    ]
    words = {"uncertainty weighting": "uncertainty", "PCGrad": "pcgrad", "Nash": "nash", "min-SNR": "min_snr"}
    for case, word in words.items():
        for factor in ("0.95", "1.1"):
            own = f"{word}.distance < {factor} plain"
            lost = "fails" if (word, factor) == ("pcgrad", "0.95") else "holds"
            found.append(Stated(own, (case, "distance"), (PLAIN, "distance"), expected=lost))
    found.append(
        Stated("balanced.distance < uniform", (PLAIN, "distance"), ("plain, uniform times", "distance"))
    )
    return tuple(found)


STUDY = Study("negative_transfer", SETTINGS, cases, measure, table, figures, _claims())
