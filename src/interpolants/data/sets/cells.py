"""Single-cell and gene-network data from files that scanpy ships; scanpy itself is not imported."""

import io
from typing import Literal, get_args

import numpy as np

from interpolants.data.bundled import BundledFile
from interpolants.data.packaged import Found, Opened, packaged
from interpolants.foundations.checks import one_of
from interpolants.foundations.extras import require

PBMC68K = BundledFile(
    package="scanpy",
    path="scanpy/datasets/10x_pbmc68k_reduced.h5ad",
    sha256="e71d41e737c941559b7c57c9243bdb3d2c889c2adfdf00e3422ac6b46783676f",
    version="1.11.5",
    install="pip install --no-deps scanpy",
)
KRUMSIEK11 = BundledFile(
    package="scanpy",
    path="scanpy/datasets/krumsiek11.txt",
    sha256="a49c6d04bd77f61028133a9b787222ebf00c4fc02dbf8e2b8edda493a0d5dc93",
    version="1.11.5",
    install="pip install --no-deps scanpy",
)

_FATES = ("progenitor", "monocyte", "erythrocyte", "megakaryocyte", "neutrophil")
_STEPS = 160  # of each of the four runs

Features = Literal["pca", "genes", "umap"]


@packaged(PBMC68K, licence="BSD-3-Clause")
def load_pbmc68k(file: Opened, *, features: Features = "pca") -> Found:
    """Blood cells of one donor: 700 cells of 10 types, as 50 principal components or 765 scaled genes.

    One cell in five is the test, evenly over the types.

    Args:
        features: ``pca`` (50), ``genes`` (765, log counts scaled to unit variance) or ``umap`` (2).

    Returns:
        ``x`` (N, 50), (N, 765) or (N, 2), labels 0 .. 9 for the cell type.

    Source: Zheng et al., Nature Communications 8, 14049 (2017); reduced by the authors of scanpy.
    """
    one_of(file.who, "features", features, get_args(Features))
    data = file.raw()
    h5py = require("h5py", by=file.who)
    with h5py.File(io.BytesIO(data), "r") as tree:
        if features == "genes":
            x = np.asarray(tree["X"], dtype=np.float32)
            columns = tuple(name.decode() for name in tree["var"]["index"])
        else:
            x = np.asarray(tree["obsm"][f"X_{features}"], dtype=np.float32)
            columns = tuple(f"{features}{i + 1}" for i in range(x.shape[1]))
        labels = np.asarray(tree["obs"]["bulk_labels"])
        classes = tuple(name.decode() for name in tree["uns/bulk_labels_categories"])
    return Found(x=x, labels=labels, columns=columns, classes=classes)


@packaged(KRUMSIEK11, licence="BSD-3-Clause")
def load_krumsiek11(file: Opened, *, labels: Literal["fate", "time"] = "fate") -> Found:
    """Simulated blood differentiation: 4 runs of 160 steps of an 11-gene network, each to its own fate.

    One row in five is the test, evenly over the labels. Neighbours in time fall on both sides: the split tests
    interpolation along the runs, not new runs.

    Args:
        labels: ``fate``: progenitor (first half of each run) or one of four cell types (second half);
            ``time``: the step 0 .. 159.

    Returns:
        ``x`` (N, 11), labels as asked; with ``all`` the rows are run after run.

    Source: Krumsiek et al., PLoS ONE 6, e22649 (2011); simulated by the authors of scanpy.
    """
    one_of(file.who, "labels", labels, ("fate", "time"))
    lines = file.text().splitlines()
    header = next(line for line in lines if line.startswith("# it"))
    table = np.loadtxt(lines)
    step = table[:, 0].astype(np.int64)
    run = np.arange(len(table)) // _STEPS
    fate = np.where(step < _STEPS // 2, 0, run + 1)
    return Found(
        x=table[:, 1:].astype(np.float32),
        labels=fate if labels == "fate" else step,
        columns=tuple(header.split()[2:]),
        classes=_FATES if labels == "fate" else (),
    )
