"""Small images: scikit-learn's digits and Fashion-MNIST."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from interpolants.data.bundled import BundledFile, quantisation_noise
from interpolants.data.packaged import Found, Opened, packaged
from interpolants.foundations.errors import invalid
from interpolants.foundations.unpacking import gunzipped

DIGITS = BundledFile(
    package="scikit-learn",
    path="sklearn/datasets/data/digits.csv.gz",
    sha256="09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22",
    version="1.9.1",
    install="pip install scikit-learn",
)


def _fashion(name: str, sha256: str) -> BundledFile:
    return BundledFile(
        package="dataset-fashion-mnist",
        path=f"/usr/share/datasets/fashion-mnist/{name}",
        sha256=sha256,
        version="0.0~git20200523.55506a9-1",
        install="apt-get install dataset-fashion-mnist",
    )


FASHION_MNIST = (
    _fashion(
        "train-images-idx3-ubyte.gz", "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7"
    ),
    _fashion(
        "train-labels-idx1-ubyte.gz", "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056"
    ),
    _fashion("t10k-images-idx3-ubyte.gz", "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa"),
    _fashion("t10k-labels-idx1-ubyte.gz", "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05"),
)

_CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


@packaged(DIGITS, licence="BSD-3-Clause")
def load_digits(file: Opened, *, dequantise: bool = False) -> Found:
    """Handwritten digits, 1,797 grey images 8 x 8 in 17 levels, scaled to [-1, 1].

    A level v in 0 .. 16 becomes ``v / 8 - 1``; de-quantised it becomes ``2 (v + u) / 17 - 1`` with u uniform
    on (0, 1), so that the data have a density. One image in five is the test, evenly over the classes.

    Args:
        dequantise: Add the noise u, from a seed fixed here.

    Returns:
        ``x`` (N, 1, 8, 8), labels 0 .. 9.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits (UCI, 1998), test part.
    """
    table = np.loadtxt(file.text().splitlines(), delimiter=",")
    levels = table[:, :-1].reshape(-1, 1, 8, 8)
    x, scaling = _scale(levels, 16, quantisation_noise(levels.shape, len(levels)) if dequantise else None)
    return Found(x=x.astype(np.float32), labels=table[:, -1], classes=tuple("0123456789"), scaling=scaling)


@packaged(*FASHION_MNIST, licence="MIT")
def load_fashion_mnist(file: Opened, *, dequantise: bool = False) -> Found:
    """Fashion-MNIST, 70,000 grey images 28 x 28 of clothes in 256 levels, scaled to [-1, 1].

    A level v becomes ``v / 127.5 - 1``; de-quantised ``2 (v + u) / 256 - 1`` with u uniform on (0, 1). As published,
    60,000 images train, and 10,000 are the test.

    Args:
        dequantise: Add the noise u, from a seed fixed here.

    Returns:
        ``x`` (N, 1, 28, 28), labels 0 .. 9.

    Source: Xiao, Rasul & Vollgraf (2017), arXiv:1708.07747.
    """
    parts = {"train": ("train",), "test": ("t10k",), "all": ("train", "t10k")}[file.split]
    images = [_idx(file, f"{part}-images-idx3-ubyte.gz") for part in parts]
    labels = np.concatenate([_idx(file, f"{part}-labels-idx1-ubyte.gz") for part in parts])
    noise = None
    if dequantise:  # a seed for each part, so that a row has one noise whichever split it is loaded in
        sizes = [len(one) for one in images]
        noise = np.concatenate([quantisation_noise((n, 1, 28, 28), n).astype(np.float32) for n in sizes])
    x, scaling = _scale(np.concatenate(images)[:, None].astype(np.float32), 255, noise)
    return Found(x=x, labels=labels, is_cut=True, classes=_CLOTHES, scaling=scaling)


def _scale(
    levels: NDArray[np.floating[Any]], top: int, noise: NDArray[np.floating[Any]] | None
) -> tuple[NDArray[np.floating[Any]], str]:
    """Levels 0 .. top to [-1, 1], and how it was done."""
    if noise is None:
        return levels * (2 / top) - 1, f"v / {top / 2:g} - 1"
    return (levels + noise) * (2 / (top + 1)) - 1, f"2 (v + u) / {top + 1} - 1"


def _idx(file: Opened, name: str) -> NDArray[np.uint8]:
    """An array in the IDX format: two zeros, type 8 (uint8), number of dimensions, sizes (big-endian), data."""
    data = gunzipped(file.who, name, file.raw(name))
    if data[:3] != b"\x00\x00\x08":
        raise invalid(file.who, "the file must be IDX of uint8", repr(data[:4]))
    ndim = data[3]
    shape = np.frombuffer(data, ">u4", count=ndim, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * ndim).reshape([int(n) for n in shape])
