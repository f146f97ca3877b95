"""What a random scale gains, by simulation and on one data set, and what a quadrature over it costs."""

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.overhead import machine
from interpolants.data import load
from interpolants.sciml.gp.kernels.infinite_width import NNGP
from interpolants.sciml.gp.scale_evidence import Spectrum, scale_nodes
from interpolants.sciml.gp.scale_mixture_gp import ScaleMixtureGP

KNOWN = {"depth": 2, "weight": math.sqrt(2), "bias": 0.3, "noise": 0.1, "standardize": False}
_SIZE, _NODES, _REPEATS = 1000, (8, 64), 200


def run(*, seeds: int = 5, steps: int = 25, report: Callable[[str], None]) -> None:
    """Nats of a random scale and of one scale: many small data sets, one large one, and seconds of 8 and 64 nodes."""
    report(f"Measured on: {machine()}. Mean of {seeds} seeds.\n")
    small = torch.tensor([_many(seed) for seed in range(seeds)]).mean(0)
    report(
        "| 500 data sets of 6 + 6 values, shape and rate 1.5 from 300 others | shape | rate | nats | one scale |"
    )
    report("| --- | ---: | ---: | ---: | ---: |")
    report("| |" + "".join(f" {value:.3f} |" for value in small.tolist()) + "\n")
    report("| diabetes, 330 patients to learn from, 112 to predict | random scale | one scale | ensemble |")
    report("| --- | ---: | ---: | ---: |")
    large = torch.tensor([_diabetes(seed, steps) for seed in range(seeds)]).mean(0)
    names = (
        "as they are",
        "inputs three times as far from their mean",
        "outliers in 40 values to learn from",
    )
    for name, row in zip(names, large.tolist(), strict=True):
        report(f"| {name} |" + "".join(f" {value:.3f} |" for value in row))
    eigen, *each = _quadrature()
    told = ", ".join(f"{n} nodes {1000 * s:.2f} ms" for n, s in zip(_NODES, each, strict=True))
    report(
        f"\nNoise that is not scaled, {_SIZE} values: eigenvalues {eigen:.2f} s, then evidence with {told}."
    )


def _many(seed: int) -> list[float]:
    """Shape and rate that were found, and nats per value of six unseen values of other data sets."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(800, 12, 3, dtype=torch.float64, generator=g)
    k = NNGP(2).covariance(x, x, weight=math.sqrt(2), bias=0.3) + 0.01 * torch.eye(12, dtype=torch.float64)
    scale = 1.5 / torch._standard_gamma(torch.full((800,), 1.5, dtype=torch.float64), generator=g)
    z = torch.randn(800, 12, 1, dtype=torch.float64, generator=g)
    y = scale.sqrt()[:, None] * (torch.linalg.cholesky(k) @ z)[..., 0]
    shape, rate = _fit(x[:300], y[:300]).scale_law
    _, one = _fit(x[:300], y[:300], shape="infinite").scale_law
    nats = []
    for law in ({"shape": shape, "rate": rate}, {"shape": "infinite", "rate": one}):
        known, every = (_fit(x[300:, :n], y[300:, :n], **law).log_evidence for n in (6, 12))
        nats.append((known - every) / 3000)
    return [shape, rate, *nats]


def _fit(x: Tensor, y: Tensor, **law: object) -> ScaleMixtureGP:
    group = torch.arange(len(x))[:, None].expand(y.shape).reshape(-1)
    model = ScaleMixtureGP(**{**KNOWN, **law})
    return model.fit(x.reshape(-1, x.shape[-1]), y.reshape(-1), group=group)


def _diabetes(seed: int, steps: int) -> list[list[float]]:
    """Nats of standardised values: clean, inputs shifted, labels with outliers; random scale, one scale, ensemble."""
    table = load("diabetes", "all").x
    order = torch.randperm(len(table), generator=torch.Generator().manual_seed(seed))
    table = (table - table.mean(0)) / table.std(0)
    train, test = table[order[:330]], table[order[330:442]]
    spoilt = train.clone()
    spoilt[:40, -1] += 5 * torch.randn(40, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    clean, outliers = (_three(rows, steps) for rows in (train, spoilt))
    x, y = test[:, :-1], test[:, -1:]
    return [_nats(clean, x, y), _nats(clean, 3 * x, y), _nats(outliers, x, y)]


def _three(rows: Tensor, steps: int) -> list[ScaleMixtureGP]:
    found = [
        ScaleMixtureGP(shape=shape, steps=steps, standardize=False).fit(rows[:, :-1], rows[:, -1])
        for shape in ("auto", "infinite")
    ]
    return [*found, found[0].clone().take_over(found[0].learnt()).set_params(law="ensemble")]


def _nats(models: list[ScaleMixtureGP], x: Tensor, y: Tensor) -> list[float]:
    return [float(-model.predict(x).log_prob(y).mean()) for model in models]


def _quadrature() -> list[float]:
    """Seconds of processor time of the eigenvalues, and of the evidence with each number of nodes."""
    x = torch.randn(_SIZE, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    seconds, one = [], None
    for work in (lambda: Spectrum.of(NNGP(2).covariance(x, x), x[:, 0]), *map(_evidence, _NODES)):
        first, begin = one is None, time.process_time()
        for _ in range(1 if first else _REPEATS):
            one = work() if first else work(one)
        seconds.append((time.process_time() - begin) / (1 if first else _REPEATS))
    return seconds


def _evidence(nodes: int) -> Callable[[Spectrum], Spectrum]:
    def work(one: Spectrum) -> Spectrum:
        scale, log = scale_nodes(2.0, 2.0, nodes)
        (log + one.log_density(scale, 0.1)).logsumexp(0)
        return one

    return work
