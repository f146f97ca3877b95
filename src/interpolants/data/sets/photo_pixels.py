"""Pixels of the two photographs that ship with scikit-learn."""

from typing import Literal

from interpolants.data.bundled import BundledFile
from interpolants.data.packaged import Found, Opened, packaged
from interpolants.data.picture_pixels import COLOURS, pixels, read_picture
from interpolants.foundations.checks import one_of

_HASHES = {
    "china.jpg": "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
    "flower.jpg": "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
}
PHOTOS = {
    name.partition(".")[0]: BundledFile(
        package="scikit-learn",
        path=f"sklearn/datasets/images/{name}",
        sha256=digest,
        version="1.9.1",
        install="pip install 'interpolants[data,plots]'",
    )
    for name, digest in _HASHES.items()
}
_LICENCE = "CC BY 2.0; china.jpg by danielbuechele, flower.jpg by vultilion, both from flickr.com"


@packaged(*PHOTOS.values(), licence=_LICENCE)
def load_photo_pixels(file: Opened, *, photo: Literal["china", "flower"] = "china") -> Found:
    """Colours of the pixels of one photograph, 640 x 427: 273,280 rows of red, green and blue in [0, 1].

    A level v becomes ``(v + u) / 256`` with u uniform on (0, 1), so that the colours have a density. Pixels come in a
    random order; one in five is in the test set. Rows are draws from the colours of this
    photograph, and carry no information on other photographs.

    Args:
        photo: ``"china"``, a palace below a blue sky, or ``"flower"``, a yellow flower on a dark ground.

    Returns:
        ``x`` (N, 3), columns red, green, blue; ``info.picture`` is the whole photograph.
    """
    one_of(file.who, "photo", photo, tuple(PHOTOS))
    name = PHOTOS[photo].name
    picture = read_picture(file.raw(name), file.who, name)
    x, _ = pixels(picture)
    return Found(x=x, columns=COLOURS, scaling="(v + u) / 256", picture=picture.levels)
