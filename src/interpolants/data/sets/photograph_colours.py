"""Colours of two photographs that ship with scikit-learn."""

from io import BytesIO

import numpy as np

from interpolants.data.bundled import BundledFile, quantisation_noise
from interpolants.data.packaged import Found, Opened, packaged
from interpolants.foundations.checks import whole
from interpolants.foundations.extras import require

_HASHES = {
    "china": "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
    "flower": "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
}
COLOURED = {
    name: BundledFile(
        package="scikit-learn",
        path=f"sklearn/datasets/images/{name}.jpg",
        sha256=digest,
        version="1.9.1",
        install="pip install 'interpolants[data,plots]'",
    )
    for name, digest in _HASHES.items()
}


@packaged(
    *COLOURED.values(), licence="CC BY 2.0: china.jpg by danielbuechele, flower.jpg by vultilion, on Flickr"
)
def load_photograph_colours(file: Opened, *, stride: int = 4) -> Found:
    """Colours of the pixels of two photographs, scaled to (0, 1): a Chinese temple and a flower, 640 x 427 pixels each.

    A level v in 0 .. 255 of red, green or blue (sRGB) becomes ``(v + u) / 256`` with u uniform on (0, 1) from a fixed
    seed, so that the colours have a density. One row in five is in the test set.

    Args:
        stride: Distance between the pixels that are read, in both directions, >= 1.

    Returns:
        ``x`` (N, 3), labels 0 for the temple (``china``) and 1 for the flower.
    """
    whole(file.who, "stride", stride, at_least=1, at_most=427)
    image = require("PIL.Image", file.who)
    rows = [
        np.asarray(image.open(BytesIO(file.raw(photograph.name))).convert("RGB"))[::stride, ::stride].reshape(
            -1, 3
        )
        for photograph in COLOURED.values()
    ]
    levels = np.concatenate(rows).astype(np.float64)
    x = (levels + quantisation_noise(levels.shape, len(levels))) / 256
    return Found(
        x=x.astype(np.float32),
        labels=np.repeat(np.arange(len(rows)), [len(photograph) for photograph in rows]),
        columns=("red", "green", "blue"),
        classes=tuple(COLOURED),
        scaling="(v + u) / 256",
    )
