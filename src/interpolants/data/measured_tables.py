"""Tables of measurements: strength of concrete, progression of diabetes, prices of houses, shapes of leaves."""

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interpolants.data.bundled import BundledFile, Dataset, Split, assemble, check_split, firsts, reads
from interpolants.data.r_lazy_data import lazy_table
from interpolants.data.table_files import csv_frame
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.extras import require

_MODELDATA: dict[str, Any] = {
    "package": "r-cran-modeldata",
    "version": "1.4.0-1",
    "install": "apt-get install r-cran-modeldata",
}
MODELDATA = BundledFile(
    path="/usr/lib/R/site-library/modeldata/data/Rdata.rdb",
    sha256="19d567cc526ba93da139ad7893ca09831c473cc224a8d4ab1b583eda69ad0376",
    **_MODELDATA,
)
MODELDATA_INDEX = BundledFile(
    path="/usr/lib/R/site-library/modeldata/data/Rdata.rdx",
    sha256="d4804aa8620bb3309adf8cedcf2070829a473bf2fe4126bfea04b9819ad0c5d4",
    **_MODELDATA,
)
BOSTON = BundledFile(
    package="r-cran-mlbench",
    path="/usr/lib/R/site-library/mlbench/data/BostonHousing.rda",
    sha256="bef3e064549e6c36142c4c761ec5c3937a3f6680ef40065352766c81e2b32b36",
    version="2.1-6-1",
    install="apt-get install r-cran-mlbench",
)
_SKLEARN: dict[str, Any] = {
    "package": "scikit-learn",
    "version": "1.9.1",
    "install": "pip install scikit-learn",
}
DIABETES = BundledFile(
    path="sklearn/datasets/data/diabetes_data_raw.csv.gz",
    sha256="7fc0ded571454b1982210d3bb43f0aca44eae01a0b8654a3b24022bdb6b38009",
    # of release 1.5: one column is written with more digits
    older=("a3e94cc7cea00f8a84fa5f6345203913a68efa42df18f87ddf9bead721bfd503",),
    **_SKLEARN,
)
DIABETES_TARGET = BundledFile(
    path="sklearn/datasets/data/diabetes_target.csv.gz",
    sha256="8e53f65eb811df43c206f3534bb3af0e5fed213bc37ed6ba36310157d6023803",
    **_SKLEARN,
)
# Labels of tables without classes: parts of equal size for cross-validation, drawn once.
_FOLDS, _FOLD_SEED = 5, 20261127
_DIABETES_COLUMNS = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6", "progression")
_CONCRETE_COLUMNS = (
    "cement",
    "blast_furnace_slag",
    "fly_ash",
    "water",
    "superplasticizer",
    "coarse_aggregate",
    "fine_aggregate",
    "age",
    "compressive_strength",
)
_BOSTON_COLUMNS = (
    "crim",
    "zn",
    "indus",
    "chas",
    "nox",
    "rm",
    "age",
    "dis",
    "rad",
    "tax",
    "ptratio",
    "lstat",
    "medv",
)


@reads(DIABETES)
def load_diabetes(split: Split = "train", *, path: str = "") -> Dataset:
    """Progression of diabetes after a year for 442 patients, from ten measurements at its start.

    Args:
        split: ``train`` (four rows in five), ``test`` or ``all``.
        path: A CSV with the eleven columns by name instead of the package.

    Returns:
        ``x`` (N, 11) float64: age, sex (1, 2), body mass index, blood pressure, six of the serum, and ``progression``,
        the quantity to predict; labels 0 ... 4: a part for cross-validation.

    Raises:
        MissingExtraError: If scikit-learn is not installed, and no path is given.
        InvalidInputError: If a file is another one, or for an unknown split.

    Source: Efron, Hastie, Johnstone & Tibshirani (2004), Annals of Statistics 32, 407-499.
    """
    who = "load_diabetes"
    x = _from_csv(who, path, _DIABETES_COLUMNS) if path else _diabetes(who)
    return _whole(
        who,
        "diabetes",
        x,
        split,
        [DIABETES, DIABETES_TARGET],
        "BSD-3-Clause (package)",
        _DIABETES_COLUMNS,
        path,
    )


@reads(MODELDATA)
def load_concrete(split: Split = "train", *, path: str = "") -> Dataset:
    """Compressive strength of 1,030 samples of concrete, from seven ingredients and the age.

    Args:
        split: ``train`` (four rows in five), ``test`` or ``all``.
        path: A CSV with the nine columns by name instead of the package, such as one made from
            archive.ics.uci.edu/dataset/165.

    Returns:
        ``x`` (N, 9) float64: ingredients in kg per cubic metre, age in days, and ``compressive_strength`` in MPa;
        labels as for :func:`load_diabetes`.

    Raises:
        MissingExtraError: If the Debian package or rdata is not installed, and no path is given.
        InvalidInputError: If a file is another one, or for an unknown split.

    Source: Yeh (1998), Cement and Concrete Research 28, 1797-1808; table ``concrete`` of the R package modeldata.
    """
    who = "load_concrete"
    x = _from_csv(who, path, _CONCRETE_COLUMNS) if path else _modeldata(who, "concrete", _CONCRETE_COLUMNS)
    files = [MODELDATA, MODELDATA_INDEX]
    return _whole(who, "concrete", x, split, files, "MIT (package)", _CONCRETE_COLUMNS, path)


@reads(BOSTON)
def load_boston_housing(split: Split = "train", *, path: str = "") -> Dataset:
    """Median prices of houses in 506 districts of Boston, for comparison with papers that use it; without column ``b``.

    The column that is left out encodes the share of Black residents by a formula that assumes prices to depend on it;
    do not use these data for anything but the reproduction of published figures.

    Args:
        split: ``train`` (four rows in five), ``test`` or ``all``.
        path: A CSV with the thirteen columns by name instead of the package.

    Returns:
        ``x`` (N, 13) float64: twelve properties, and ``medv`` in thousands of dollars; labels as for
        :func:`load_diabetes`.

    Raises:
        MissingExtraError: If the Debian package or rdata is not installed, and no path is given.
        InvalidInputError: If a file is another one, or for an unknown split.

    Source: Harrison & Rubinfeld (1978), in the R package mlbench (GPL-2: do not redistribute).
    """
    who = "load_boston_housing"
    x = _from_csv(who, path, _BOSTON_COLUMNS) if path else _boston(who)
    return _whole(who, "boston_housing", x, split, [BOSTON], "GPL-2 (package)", _BOSTON_COLUMNS, path)


@reads(MODELDATA)
def load_leaves(split: Split = "train", *, path: str = "") -> Dataset:
    """Shape, texture and colour of 1,907 leaves of 32 species, 50 numbers each.

    Args:
        split: ``train`` (four rows in five, evenly over the species), ``test`` or ``all``.
        path: A CSV with a column ``species`` and columns of numbers instead of the package.

    Returns:
        ``x`` (N, 50) float64, labels 0 ... 31 for the species in the order of ``info.classes``.

    Raises:
        MissingExtraError: If the Debian package or rdata is not installed, and no path is given.
        InvalidInputError: If a file is another one, or for an unknown split.

    Source: Lakshika & Talagala (2021), arXiv:2106.08077, for the features of the Flavia leaves of Wu et al. (2007);
    table ``leaf_id_flavia`` of the R package modeldata.
    """
    who = "load_leaves"
    check_split(who, split)
    table = _read_csv(who, path) if path else _lazy(who, "leaf_id_flavia")
    if "species" not in table.columns:
        raise invalid(who, "the file must have a column species", f"{[*table.columns][:4]}")
    columns = tuple(str(name) for name in table.columns if table[name].dtype.kind in "fiu")
    species = table["species"].astype(str)
    classes = tuple(sorted(set(species)))
    labels = np.array([classes.index(name) for name in species])
    return assemble(
        "leaves",
        table[list(columns)].to_numpy(dtype=np.float64),
        labels,
        split=split,
        files=[MODELDATA, MODELDATA_INDEX],
        licence="MIT (package)",
        path=path,
        columns=columns,
        classes=classes,
        dtype=np.float64,
    )


def _whole(
    who: str,
    name: str,
    x: NDArray[np.float64],
    split: Split,
    files: Sequence[BundledFile],
    licence: str,
    columns: tuple[str, ...],
    path: str,
) -> Dataset:
    check_split(who, split)
    fold = np.empty(len(x), dtype=np.int64)
    fold[np.random.RandomState(_FOLD_SEED).permutation(len(x))] = np.arange(len(x)) % _FOLDS
    fold = fold[firsts(x)]
    return assemble(
        name, x, fold, split=split, files=files, licence=licence, path=path, columns=columns, dtype=np.float64
    )


def _diabetes(who: str) -> NDArray[np.float64]:
    rows, target = (
        np.loadtxt(gzip.decompress(file.read(who)).decode("utf-8").splitlines())
        for file in (DIABETES, DIABETES_TARGET)
    )
    return np.column_stack([rows, target])


def _boston(who: str) -> NDArray[np.float64]:
    data = BOSTON.read(who)
    rdata = require("rdata", by=who)
    table = rdata.conversion.convert(rdata.parser.parse_data(data))["BostonHousing"]
    found: NDArray[np.float64] = table[list(_BOSTON_COLUMNS)].astype(float).to_numpy()
    return found


def _lazy(who: str, name: str) -> Any:
    return lazy_table(who, MODELDATA_INDEX.read(who), MODELDATA.read(who), name)


def _modeldata(who: str, name: str, columns: Sequence[str]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = _lazy(who, name)[list(columns)].to_numpy(dtype=np.float64)
    return found


def _read_csv(who: str, path: str) -> Any:
    if not Path(path).is_file():
        raise invalid(who, "path must be a CSV file", path)
    return csv_frame(who, path)


def _from_csv(who: str, path: str, columns: Sequence[str]) -> NDArray[np.float64]:
    table = _read_csv(who, path)
    for name in columns:
        if name not in table.columns:
            raise invalid(who, f"the file must have a column {name}", "none", nearest(name, [*table.columns]))
    try:
        found: NDArray[np.float64] = table[list(columns)].to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise invalid(who, "all columns must be numbers", str(error)) from error
    return found
