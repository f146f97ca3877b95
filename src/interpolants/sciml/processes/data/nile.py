"""Flow of the Nile by the year."""

import numpy as np

from interpolants.data.bundled import BundledFile
from interpolants.data.packaged import Found, Opened, packaged
from interpolants.foundations.errors import invalid

NILE = BundledFile(
    package="statsmodels",
    path="statsmodels/datasets/nile/nile.csv",
    sha256="88e97bea7249e5832a85e41aec6ce4b8f7b1b14aae930c8363da7f193286b598",
    version="0.15.0",
    install="pip install 'interpolants[processes]'",
)
_TRAIN = 80


@packaged(
    NILE,
    licence="public domain (package: BSD-3)",
    own="a CSV with the columns year and volume, whose years follow each other",
)
def load_nile(file: Opened) -> Found:
    """Volume of the Nile at Aswan, 1871 to 1970, in 10^8 cubic metres a year: 100 values, with long memory.

    The first 80 years train, the last 20 are the test.

    Returns:
        ``x`` (N, 1) float64, with the first year and the frequency in ``info``.

    Source: Cobb (1978), Biometrika 65, 243-251, in statsmodels.
    """
    years, volume = file.numbers("year", "volume").T
    if len(years) < _TRAIN or not (np.diff(years) == 1).all():
        raise invalid(file.who, f"years must follow each other, at least {_TRAIN}", f"{len(years)} rows")
    return Found(
        x=volume[:, None],
        part=np.where(np.arange(len(years)) < _TRAIN, "train", "test"),
        columns=("volume",),
        times=(years.astype(np.int64) - 1970).astype("datetime64[Y]").astype("datetime64[D]"),
        frequency="YS",
    )
