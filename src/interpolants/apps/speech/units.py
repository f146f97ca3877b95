"""Units of a recording: what its samples are divided by, and its answer multiplied with."""

from torch import Tensor

# The peak of the degraded recording, as in the paper; a multiple of its root mean square, which no outlier moves; 1.
UNITS = ("peak", "level", "none")
# Speech peaks at about so many times its root mean square.
_CREST = 8.0


def unit_of(y: Tensor, normalise: str) -> float:
    """The unit of degraded samples ``(T,)``; 1 where they are silent, as a stretch of a recording may be."""
    if normalise == "none":
        return 1.0
    y = y.detach()
    found = float(y.abs().max()) if normalise == "peak" else _CREST * float(y.double().square().mean().sqrt())
    return found if found > 0 else 1.0
