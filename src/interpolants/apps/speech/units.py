"""Units of a recording: what its samples are divided by, and its answer multiplied with."""

from typing import Literal

from torch import Tensor

from interpolants.foundations.tell import SettingWarning, tell

# The peak of the degraded recording, as in the paper; a multiple of its root mean square, which no outlier moves; 1.
Unit = Literal["peak", "level", "none"]
# Speech peaks at about so many times its root mean square.
_CREST = 8.0
# Sizes of what is learnt, in units of the path's noise, between which a sampler finds it.
_LEAST, _MOST = 0.01, 100.0


def warn_of_size(who: str, of_difference: float, of_noise: float) -> None:
    """Tell of differences of spectra that drown in the noise of a path, or that its noise does not reach.

    Args:
        who: Public name.
        of_difference: Root mean square of what is learnt.
        of_noise: Deviation of the base.

    Warns:
        SettingWarning: If they are.
    """
    if not _LEAST < of_difference / of_noise < _MOST:
        told = f"{who}: clean and degraded spectra differ by {of_difference:.2g}, the path's noise is {of_noise:.2g}"
        remedy = "Use normalise='peak' for recordings of any size, or degraded ones that differ more"
        tell(SettingWarning, f"{told}: answers will miss the difference. {remedy}.")


def unit_of(y: Tensor, normalise: str) -> float:
    """The unit of degraded samples ``(T,)``; 1 where they are silent, as a stretch of a recording may be."""
    if normalise == "none":
        return 1.0
    y = y.detach()
    found = float(y.abs().max()) if normalise == "peak" else _CREST * float(y.double().square().mean().sqrt())
    return found if found > 0 else 1.0
