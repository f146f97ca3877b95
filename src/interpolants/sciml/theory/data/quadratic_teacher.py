"""A regression on which networks learn late what they could have learnt early: squares of a projection."""

import torch

from interpolants.data.bundled import DataInfo, Dataset, Split, check_split
from interpolants.foundations.checks import whole
from interpolants.foundations.randomness import generator


def load_quadratic_teacher(
    split: Split = "train", *, dimension: int = 30, rows: int = 3140, seed: int = 0
) -> Dataset:
    """``y = (b . x)^2 / 2`` with ``x ~ N(0, 1 / D)`` and a direction b with ``|b|^2 = D``, without noise.

    Args:
        split: ``train`` (the first four rows in five), ``test`` or ``all``.
        dimension: D.
        rows: Rows in all, at least 5.
        seed: Seed of the direction and of all rows.

    Returns:
        ``x`` (rows, D + 1) float64: the columns of x, then y.

    Raises:
        InvalidInputError: If a number is out of range, or for an unknown split.

    Source: Kumar, Bordelon, Gershman & Pehlevan (2024), arXiv:2310.06110, section 4.
    """
    who = "load_quadratic_teacher"
    check_split(who, split)
    whole(who, "dimension", dimension, at_least=1)
    whole(who, "rows", rows, at_least=5)
    source = generator(seed, "quadratic teacher")
    b = torch.randn(dimension, dtype=torch.float64, generator=source)
    b *= dimension**0.5 / b.norm()
    x = torch.randn(rows, dimension, dtype=torch.float64, generator=source) / dimension**0.5
    table = torch.cat([x, 0.5 * (x @ b)[:, None].square()], 1)
    first = 4 * rows // 5
    kept = {"train": table[:first], "test": table[first:], "all": table}[split]
    columns = (*(f"x{k}" for k in range(1, dimension + 1)), "y")
    info = DataInfo(
        name="quadratic_teacher",
        shape=tuple(kept.shape),
        split=split,
        source=f"simulated, seed {seed}",
        licence="",
        sha256={},
        columns=columns,
    )
    return Dataset(kept, None, info)
