"""Unit of images by their range: what rules whose strengths were chosen for images between 0 and 1 divide by."""

import math

from torch import Tensor


def unit_of(x: Tensor) -> float:
    """The power of ten next to the range of the values; 1 for values that do not vary.

    A power of ten leaves images that lie between 0 and about 1 as they are.
    """
    spread = float(x.max()) - float(x.min())
    return 10.0 ** round(math.log10(spread)) if spread > 0 and math.isfinite(spread) else 1.0
