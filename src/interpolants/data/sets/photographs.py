"""Patches of the photographs that ship with scikit-image."""

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interpolants.data.bundled import BundledFile
from interpolants.data.packaged import Found, Opened, packaged
from interpolants.foundations.checks import whole
from interpolants.foundations.extras import require

_HASHES = {
    "astronaut.png": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    "camera.png": "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a",
    "coffee.png": "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    "chelsea.png": "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    "rocket.jpg": "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
    "brick.png": "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf",
    "grass.png": "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89",
    "gravel.png": "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12",
    "moon.png": "78739619d11f7eb9c165bb5d2efd4772cee557812ec847532dbb1d92ef71f577",
    "page.png": "341a6f0a61557662b02734a9b6e56ec33a915b2c41886b97509dedf2a43b47a3",
    "coins.png": "f8d773fc9cfa6f4d8e5942dc34d0a0788fcaed2a4fefbbed0aef5398d7ef4cba",
    "text.png": "bd84aa3a6e3c9887850d45d606c96b2e59433fbef50338570b63c319e668e6d1",
}
PHOTOGRAPHS = {
    name.partition(".")[0]: BundledFile(
        package="scikit-image",
        path=f"skimage/data/{name}",
        sha256=digest,
        version="0.26.0",
        install="pip install 'interpolants[data]'",
    )
    for name, digest in _HASHES.items()
}
# Luminance of linear red, green and blue, ITU-R BT.709, as scikit-image rounds it.
_LUMINANCE = np.array([0.2125, 0.7154, 0.0721])
_TEST_SHARE = 5


@packaged(*PHOTOGRAPHS.values(), licence="BSD-3-Clause and CC0, picture by picture")
def load_photographs(file: Opened, *, size: int = 32, stride: int = 16) -> Found:
    """Square grey patches of twelve photographs and scans, scaled to [-1, 1]; 8,928 of 32 x 32 with the defaults.

    A level v (for colours, their luminance) becomes ``v / 127.5 - 1``. Patches lie on a grid and may overlap. The test
    set is what lies whole in the lowest fifth of each picture and the training set what lies whole above it, so that
    no pixel is in both; patches across the border are in ``all`` only.

    Args:
        size: Side of a patch in pixels, 2 to 172.
        stride: Distance between neighbouring patches in pixels, >= 1.

    Returns:
        ``x`` (N, 1, size, size), labels 0 .. 11: the picture.
    """
    for name, value, low, high in (("size", size, 2, 172), ("stride", stride, 1, 10_000)):
        whole(file.who, name, value, at_least=low, at_most=high)
    patches, labels, places = [], [], []
    for k, photograph in enumerate(PHOTOGRAPHS.values()):
        picture = _grey(file.raw(photograph.name), file.who)
        windows = np.lib.stride_tricks.sliding_window_view(picture, (size, size))[::stride, ::stride]
        border = picture.shape[0] - picture.shape[0] // _TEST_SHARE
        top = np.arange(windows.shape[0]) * stride
        place = np.where(top + size <= border, "train", np.where(top >= border, "test", "all"))
        patches.append(windows.reshape(-1, 1, size, size).astype(np.float32))
        places.append(place.repeat(windows.shape[1]))
        labels.append(np.full(len(patches[-1]), k))
    x, codes, part = (np.concatenate(parts) for parts in (patches, labels, places))
    return Found(x=x, labels=codes, part=part, classes=tuple(PHOTOGRAPHS), scaling="v / 127.5 - 1")


def _grey(file: bytes, who: str) -> NDArray[np.floating[Any]]:
    levels = np.asarray(require("skimage.io", who).imread(BytesIO(file)), dtype=np.float64)
    grey = levels if levels.ndim == 2 else levels[..., :3] @ _LUMINANCE
    return grey / 127.5 - 1
