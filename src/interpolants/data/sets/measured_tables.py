"""Tables of measurements: strength of concrete, progression of diabetes, prices of houses, shapes of leaves."""

from typing import Any

import numpy as np

from interpolants.data.bundled import BundledFile, firsts
from interpolants.data.packaged import Found, Opened, packaged
from interpolants.data.r_tables import lazy_table, saved_table

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


@packaged(
    DIABETES, DIABETES_TARGET, licence="BSD-3-Clause (package)", own="a CSV with the eleven columns by name"
)
def load_diabetes(file: Opened) -> Found:
    """Progression of diabetes after a year for 442 patients, from ten measurements at its start.

    One row in five is the test.

    Returns:
        ``x`` (N, 11) float64: age, sex (1, 2), body mass index, blood pressure, six of the serum, and ``progression``,
        the quantity to predict; labels 0 ... 4: a part for cross-validation.

    Source: Efron, Hastie, Johnstone & Tibshirani (2004), Annals of Statistics 32, 407-499.
    """
    if file.path:
        x = file.frame(*_DIABETES_COLUMNS)[[*_DIABETES_COLUMNS]]
    else:
        parts = [np.loadtxt(file.text(one.name).splitlines()) for one in (DIABETES, DIABETES_TARGET)]
        x = np.column_stack(parts)
    return _in_folds(x, _DIABETES_COLUMNS)


@packaged(
    MODELDATA,
    MODELDATA_INDEX,
    licence="MIT (package)",
    own="a CSV with the nine columns by name, such as one made from archive.ics.uci.edu/dataset/165",
)
def load_concrete(file: Opened) -> Found:
    """Compressive strength of 1,030 samples of concrete, from seven ingredients and the age.

    One row in five is the test.

    Returns:
        ``x`` (N, 9) float64: ingredients in kg per cubic metre, age in days, and ``compressive_strength`` in MPa;
        labels as for :func:`load_diabetes`.

    Source: Yeh (1998), Cement and Concrete Research 28, 1797-1808; table ``concrete`` of the R package modeldata.
    """
    table = file.frame(*_CONCRETE_COLUMNS) if file.path else _modeldata(file, "concrete")
    return _in_folds(table[[*_CONCRETE_COLUMNS]], _CONCRETE_COLUMNS)


@packaged(BOSTON, licence="GPL-2 (package)", own="a CSV with the thirteen columns by name")
def load_boston_housing(file: Opened) -> Found:
    """Median prices of houses in 506 districts of Boston, for comparison with papers that use it; without column ``b``.

    The column that is left out encodes the share of Black residents by a formula that assumes prices to depend on it;
    do not use these data for anything but the reproduction of published figures. One row in five is the test.

    Returns:
        ``x`` (N, 13) float64: twelve properties, and ``medv`` in thousands of dollars; labels as for
        :func:`load_diabetes`.

    Source: Harrison & Rubinfeld (1978), in the R package mlbench (GPL-2: do not redistribute).
    """
    if file.path:
        table = file.frame(*_BOSTON_COLUMNS)
    else:
        table = saved_table(file.who, file.raw(), "BostonHousing")
    return _in_folds(table[[*_BOSTON_COLUMNS]], _BOSTON_COLUMNS)


@packaged(
    MODELDATA,
    MODELDATA_INDEX,
    licence="MIT (package)",
    own="a CSV with a column species and columns of numbers",
)
def load_leaves(file: Opened) -> Found:
    """Shape, texture and colour of 1,907 leaves of 32 species, 50 numbers each.

    One row in five is the test, evenly over the species.

    Returns:
        ``x`` (N, 50) float64, labels 0 ... 31 for the species in the order of ``info.classes``.

    Source: Lakshika & Talagala (2021), arXiv:2106.08077, for the features of the Flavia leaves of Wu et al. (2007);
    table ``leaf_id_flavia`` of the R package modeldata.
    """
    table = file.frame("species") if file.path else _modeldata(file, "leaf_id_flavia")
    columns = tuple(str(name) for name in table.columns if table[name].dtype.kind in "fiu")
    species = table["species"].astype(str)
    classes = tuple(sorted(set(species)))
    return Found(
        x=table[list(columns)].to_numpy(dtype=np.float64),
        labels=np.array([classes.index(name) for name in species]),
        columns=columns,
        classes=classes,
    )


def _in_folds(table: Any, columns: tuple[str, ...]) -> Found:
    """Rows of numbers with parts for cross-validation as labels; equal rows are in one part."""
    x = np.asarray(table, dtype=np.float64)
    fold = np.empty(len(x), dtype=np.int64)
    fold[np.random.RandomState(_FOLD_SEED).permutation(len(x))] = np.arange(len(x)) % _FOLDS
    return Found(x=x, labels=fold[firsts(x)], columns=columns)


def _modeldata(file: Opened, name: str) -> Any:
    return lazy_table(file.who, file.raw(MODELDATA_INDEX.name), file.raw(MODELDATA.name), name)
