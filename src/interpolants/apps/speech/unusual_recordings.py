"""Recordings unlike those that a speech model has learnt from: silence, offsets, clicks, clipping, lower rates."""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from interpolants.apps.speech.recordings import Recording, is_silent
from interpolants.foundations.tell import OutsideWarning, tell

# A constant offset of so many root mean squares of the rest, in recordings of so many seconds, is none of speech.
_OFFSET, _SECONDS = 0.2, 0.25
# Nothing of speech is so many times as loud as its loudest thousandth; a click of the medium is.
_CLICK = 5.0
# Where the peak was cut off, so many of the samples are at it, beside others that are.
_CUT = 0.002


def offset_of(y: Tensor, rate: int) -> float:
    """The mean of samples ``(T,)`` where it is none of speech, else 0."""
    mean = float(y.double().mean())
    rest = float((y.double() - mean).square().mean().sqrt())
    return mean if len(y) >= _SECONDS * rate and abs(mean) > _OFFSET * rest else 0.0


def has_click(y: Tensor) -> bool:
    """Whether a few samples ``(T,)`` are far louder than all others."""
    size = y.abs().double()
    loud = size.kthvalue(max(1, len(y) - max(1, len(y) // 1000))).values
    return len(y) >= 1000 and float(size.max()) > _CLICK * float(loud)


def is_clipped(y: Tensor) -> bool:
    """Whether samples ``(T,)`` are cut off at their peak."""
    size = y.abs()
    at_peak = size >= (1 - 1e-4) * size.max()
    return len(y) >= 1000 and float((at_peak[1:] & at_peak[:-1]).double().mean()) > _CUT


def warn_of_unusual(who: str, observed: Sequence[Recording], rate: int, normalise: str) -> None:
    """Tell of what the model has not learnt from, in one line for each kind.

    Args:
        who: Public name.
        observed: The recordings.
        rate: Of recordings that have none.
        normalise: Unit of a recording, as in ``units``.
    """
    kinds: Mapping[str, tuple[Callable[[Tensor, int], bool], str]] = {
        "a constant offset": (lambda y, r: offset_of(y, r) != 0, "It was taken away: no speech has one"),
        "samples cut off at their peak": (
            lambda y, r: is_clipped(y),
            "What was cut off comes back only from a model that learnt it, by pairs",
        ),
    }
    empty = f"The band from there to {rate / 2:g} Hz is empty, and the model has learnt from none such; it gains less"
    kinds = {**kinds, "no sound above half a rate that is below the model's": (lambda y, r: r < rate, empty)}
    if normalise == "peak":
        click = (
            "The unit is the peak, so all else is too soft. Cut the click out, or fit with normalise='level'"
        )
        kinds = {**kinds, "a click far above all else": (lambda y, r: has_click(y), click)}
    silent = [one.told for one in observed if is_silent(one.channels)]
    _tell(who, silent, "silence throughout. It comes back as it is")
    for what, (found, told) in kinds.items():
        names = [
            one.told
            for one in observed
            if any(not is_silent(y) and found(y, one.rate or rate) for y in one.channels)
        ]
        _tell(who, names, f"{what}. {told}")


def _tell(who: str, names: Sequence[str], what: str) -> None:
    if names:
        listed = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        tell(OutsideWarning, f"{who}: {listed}: {what}.")
