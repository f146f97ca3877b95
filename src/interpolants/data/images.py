"""Small images: scikit-learn's digits and Fashion-MNIST."""

import gzip
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interpolants.data.bundled import (
    BundledFile,
    Dataset,
    Split,
    assemble,
    check_split,
    quantisation_noise,
    reads,
)
from interpolants.foundations.errors import invalid

DIGITS = BundledFile(
    package="scikit-learn",
    path="sklearn/datasets/data/digits.csv.gz",
    sha256="09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22",
    version="1.9.1",
    install="pip install scikit-learn",
)


def _fashion(file: str, sha256: str) -> BundledFile:
    return BundledFile(
        package="dataset-fashion-mnist",
        path=f"/usr/share/datasets/fashion-mnist/{file}.gz",
        sha256=sha256,
        version="0.0~git20200523.55506a9-1",
        install="apt-get install dataset-fashion-mnist",
    )


FASHION_MNIST = {
    "train": (
        _fashion(
            "train-images-idx3-ubyte", "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7"
        ),
        _fashion(
            "train-labels-idx1-ubyte", "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056"
        ),
    ),
    "test": (
        _fashion(
            "t10k-images-idx3-ubyte", "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa"
        ),
        _fashion(
            "t10k-labels-idx1-ubyte", "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05"
        ),
    ),
}

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


@reads(DIGITS)
def load_digits(split: Split = "train", *, dequantise: bool = False) -> Dataset:
    """Handwritten digits, 1,797 grey images 8 x 8 in 17 levels, scaled to [-1, 1].

    A level v in 0 .. 16 becomes ``v / 8 - 1``; de-quantised it becomes ``2 (v + u) / 17 - 1`` with u uniform
    on (0, 1), so that the data have a density.

    Args:
        split: ``train`` (four rows in five, evenly over the classes), ``test`` (the fifth) or ``all``.
        dequantise: Add the noise u, from a seed fixed here.

    Returns:
        ``x`` (N, 1, 8, 8), labels 0 .. 9.

    Raises:
        MissingExtraError: If scikit-learn is not installed.
        InvalidInputError: If its file is another one, or for an unknown split.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits (UCI, 1998), test part.
    """
    check_split("load_digits", split)
    text = gzip.decompress(DIGITS.read("load_digits")).decode("ascii")
    table = np.loadtxt(text.splitlines(), delimiter=",")
    levels = table[:, :-1].reshape(-1, 1, 8, 8)
    x, scaling = _scale(levels, 16, quantisation_noise(levels.shape, len(levels)) if dequantise else None)
    return assemble(
        "digits",
        x,
        table[:, -1],
        split=split,
        files=[DIGITS],
        licence="BSD-3-Clause",
        classes=tuple("0123456789"),
        scaling=scaling,
    )


@reads(FASHION_MNIST["train"][0])
def load_fashion_mnist(split: Split = "train", *, dequantise: bool = False) -> Dataset:
    """Fashion-MNIST, 70,000 grey images 28 x 28 of clothes in 256 levels, scaled to [-1, 1].

    A level v becomes ``v / 127.5 - 1``; de-quantised ``2 (v + u) / 256 - 1`` with u uniform on (0, 1).

    Args:
        split: ``train`` (60,000, as published), ``test`` (10,000) or ``all``.
        dequantise: Add the noise u, from a seed fixed here.

    Returns:
        ``x`` (N, 1, 28, 28), labels 0 .. 9.

    Raises:
        MissingExtraError: If the Debian package is not installed.
        InvalidInputError: If its files are other ones, or for an unknown split.

    Source: Xiao, Rasul & Vollgraf (2017), arXiv:1708.07747.
    """
    check_split("load_fashion_mnist", split)
    parts = ("train", "test") if split == "all" else (split,)
    files = [FASHION_MNIST[part] for part in parts]
    levels = np.concatenate([_idx(images) for images, _ in files])
    labels = np.concatenate([_idx(codes) for _, codes in files])
    noise = None
    if dequantise:  # a seed for each part, so that a row has one noise whichever split it is loaded in
        sizes = [{"train": 60_000, "test": 10_000}[part] for part in parts]
        noise = np.concatenate([quantisation_noise((n, 1, 28, 28), n).astype(np.float32) for n in sizes])
    x, scaling = _scale(levels[:, None].astype(np.float32), 255, noise)
    # The split is the published one and already cut.
    whole = np.ones(len(x), dtype=np.bool_)
    return assemble(
        "fashion_mnist",
        x,
        labels,
        split=split,
        files=[file for pair in files for file in pair],
        licence="MIT",
        test=whole if split == "test" else ~whole,
        classes=_CLOTHES,
        scaling=scaling,
    )


def _scale(
    levels: NDArray[np.floating[Any]], top: int, noise: NDArray[np.floating[Any]] | None
) -> tuple[NDArray[np.floating[Any]], str]:
    """Levels 0 .. top to [-1, 1], and how it was done."""
    if noise is None:
        return levels * (2 / top) - 1, f"v / {top / 2:g} - 1"
    return (levels + noise) * (2 / (top + 1)) - 1, f"2 (v + u) / {top + 1} - 1"


def _idx(file: BundledFile) -> NDArray[np.uint8]:
    """An array in the IDX format: two zeros, type 8 (uint8), number of dimensions, sizes (big-endian), data."""
    data = gzip.decompress(file.read("load_fashion_mnist"))
    if data[:3] != b"\x00\x00\x08":
        raise invalid("load_fashion_mnist", "the file must be IDX of uint8", repr(data[:4]))
    ndim = data[3]
    shape = np.frombuffer(data, ">u4", count=ndim, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * ndim).reshape([int(n) for n in shape])
