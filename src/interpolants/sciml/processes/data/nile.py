"""Flow of the Nile by the year."""

from pathlib import Path

import numpy as np
import torch

from interpolants.data.bundled import BundledFile, DataInfo, Dataset, Split, check_split, reads
from interpolants.data.table_files import rows_of, text_of
from interpolants.foundations.errors import invalid
from interpolants.foundations.unpacking import refusing_content

NILE = BundledFile(
    package="statsmodels",
    path="statsmodels/datasets/nile/nile.csv",
    sha256="88e97bea7249e5832a85e41aec6ce4b8f7b1b14aae930c8363da7f193286b598",
    version="0.15.0",
    install="pip install 'interpolants[processes]'",
)
_TRAIN = 80


@reads(NILE)
def load_nile(split: Split = "train", *, path: str = "") -> Dataset:
    """Volume of the Nile at Aswan, 1871 to 1970, in 10^8 cubic metres a year: 100 values, with long memory.

    Args:
        split: ``train`` (the first 80 years), ``test`` (the last 20) or ``all``.
        path: A CSV file with the columns year and volume instead of the package's; years must follow each other.

    Returns:
        ``x`` (N, 1) float64, with the first year and the frequency in ``info``.

    Raises:
        MissingExtraError: If statsmodels is not installed, and no path is given.
        InvalidInputError: If the file is another one or no such table, or for an unknown split.

    Source: Cobb (1978), Biometrika 65, 243-251, in statsmodels.
    """
    who = "load_nile"
    check_split(who, split)
    rule = "the file must have columns year and volume"
    text = text_of(who, path, rule) if path else NILE.read(who).decode("utf-8")
    with refusing_content(who, rule):
        rows = [(int(row["year"]), float(row["volume"])) for row in rows_of(who, text, rule)]
    years = np.array([year for year, _ in rows])
    if len(years) < _TRAIN or not (np.diff(years) == 1).all():
        raise invalid(who, f"years must follow each other, at least {_TRAIN}", f"{len(years)} rows")
    part = {"train": slice(0, _TRAIN), "test": slice(_TRAIN, None), "all": slice(None)}[split]
    x = torch.tensor([volume for _, volume in rows[part]], dtype=torch.float64)[:, None]
    info = DataInfo(
        name="nile",
        shape=tuple(x.shape),
        split=split,
        source=path or f"{NILE.package} {NILE.installed_version()}",
        licence="" if path else "public domain (package: BSD-3)",
        sha256={} if path else {Path(NILE.path).name: NILE.sha256},
        columns=("volume",),
        start=f"{years[part][0]}-01-01",
        frequency="YS",
    )
    return Dataset(x, None, info)
