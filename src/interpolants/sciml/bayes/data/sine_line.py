"""Tasks that are sines or lines: a benchmark of learning from few rows."""

import math

import torch

from interpolants.data.bundled import DataInfo, Dataset, Split, check_split
from interpolants.foundations.checks import number, whole
from interpolants.foundations.randomness import generator

_TEST_SHARE = 5  # one task in five is for the test


def load_sine_line(
    split: Split = "train", *, tasks: int = 1000, rows: int = 30, noise: float = 0.3, seed: int = 0
) -> Dataset:
    """Rows of many one-dimensional regressions, each of them a sine or a line with equal chance.

    ``y = A sin(x + p)`` with A uniform in [0.1, 5] and p in [0, pi], or ``y = a x + b`` with a and b uniform in [-3,
    3]; x uniform in [-5, 5], and Gaussian noise.

    Args:
        split: ``train`` (four tasks in five), ``test`` or ``all``.
        tasks: Number of tasks, at least 5.
        rows: Rows of each.
        noise: Standard deviation of the noise.
        seed: Seed of all draws.

    Returns:
        ``x`` (tasks * rows, 3) float64: x, y, and y without the noise; labels: the task.

    Raises:
        InvalidInputError: If a number is out of range, or for an unknown split.

    Source: Finn, Xu & Levine (2018), arXiv:1806.02817, for the mixture of sines and lines.
    """
    who = "load_sine_line"
    check_split(who, split)
    whole(who, "tasks", tasks, at_least=_TEST_SHARE)
    whole(who, "rows", rows, at_least=1)
    number(who, "noise", noise, at_least=0)
    source = generator(seed, "sine line")
    unit = torch.rand(tasks, 5, 1, dtype=torch.float64, generator=source)
    at = 10 * torch.rand(tasks, rows, dtype=torch.float64, generator=source) - 5
    wave = (0.1 + 4.9 * unit[:, 1]) * torch.sin(at + math.pi * unit[:, 2])
    line = (6 * unit[:, 3] - 3) * at + 6 * unit[:, 4] - 3
    truth = torch.where(unit[:, 0] < 0.5, wave, line)
    y = truth + noise * torch.randn(tasks, rows, dtype=torch.float64, generator=source)
    table = torch.stack([at, y, truth], -1)
    task = torch.arange(tasks)
    test = task % _TEST_SHARE == 0
    kept = {"all": task >= 0, "test": test, "train": ~test}[split]
    x, labels = table[kept].reshape(-1, 3), task[kept].repeat_interleave(rows)
    info = DataInfo(
        name="sine_line",
        shape=tuple(x.shape),
        split=split,
        source=f"simulated, seed {seed}",
        licence="",
        sha256={},
        columns=("x", "y", "truth"),
    )
    return Dataset(x, labels, info)
