"""What a score means beside its floor and its rivals, in a sentence."""

import math
from collections.abc import Collection, Iterator
from typing import Literal

from interpolants.framework.scores import Score
from interpolants.reports.words import listing, number, spaced, times

SIGMAS = 2.0  # standard errors within which two numbers are not told apart
Standing = Literal["better", "same", "worse", "unknown"]


def title_of(score: Score) -> str:
    """Name of a score for people."""
    return score.title or spaced(score.name.rpartition(".")[2])


def floor_of(score: Score) -> float | None:
    """The floor, if it is known."""
    return None if isinstance(score.floor, str) or not math.isfinite(score.floor) else score.floor


def gain(score: Score, rival: str) -> float:
    """By how much the score is better than a rival's; negative where it is worse."""
    apart = score.rivals[rival] - score.value
    return apart if score.better == "lower" else -apart


def standing(score: Score, rival: str) -> Standing:
    """Whether a score is better than a rival's by more than two standard errors of the difference."""
    found = gain(score, rival)
    if score.better == "neither" or not math.isfinite(found):
        return "unknown"
    error = score.gaps.get(rival, score.error)
    slack = SIGMAS * error if math.isfinite(error) else 0.0
    return "better" if found > slack else "worse" if found < -slack else "same"


def loss_in_errors(score: Score, rival: str) -> float:
    """Distance of a score from a better rival in standard errors; infinite if the error is unknown."""
    error = _known(score.gaps.get(rival, score.error))
    return -gain(score, rival) / error if error else math.copysign(math.inf, -gain(score, rival))


def room(score: Score, expected: Collection[str] = ()) -> float:
    """Gap between the floor and the best rival in standard errors, wherever the score itself lies.

    It says how well a score tells good methods from simple ones. NaN if floor, rivals, direction or errors are unknown.

    Args:
        score: The score.
        expected: Rivals that do not count: those that should win.
    """
    floor = floor_of(score)
    rivals = [x for name, x in score.rivals.items() if name not in expected and math.isfinite(x)]
    error = math.hypot(_known(score.floor_error), _known(score.error))
    if floor is None or not rivals or score.better == "neither" or not error:
        return math.nan
    return (min(rivals) - floor if score.better == "lower" else floor - max(rivals)) / error


def at_floor(score: Score) -> bool:
    """Whether a score is as good as its floor, within two standard errors of both."""
    floor = floor_of(score)
    if floor is None or not math.isfinite(score.value):
        return False
    apart = score.value - floor
    slack = SIGMAS * math.hypot(_known(score.error), _known(score.floor_error))
    return {"lower": apart <= slack, "higher": apart >= -slack, "neither": abs(apart) <= slack}[score.better]


def reading(score: Score) -> str:
    """Sentences on a score: against its floor, then against each rival."""
    if not math.isfinite(score.value):
        return "Not a finite number."
    return " ".join(
        [*against_floor(score), *(s for name in score.rivals for s in against_rival(score, name))]
    )


def against_floor(score: Score) -> Iterator[str]:
    """A sentence on a score and its floor, if there is one."""
    floor = floor_of(score)
    whose = score.floor_of or "the best that is possible"
    if floor is None or not math.isfinite(score.value):
        return
    if at_floor(score):
        yield f"As good as {whose}." if score.better != "neither" else f"As for {whose}, within its error."
    elif (
        _has_ratio(score, floor) and floor > SIGMAS * _known(score.floor_error) and score.better != "neither"
    ):
        share = f"{100 * score.value / floor:.0f} %"
        yield f"{times(score.value / floor) + ' that' if score.better == 'lower' else share} of {whose}."
    elif floor or score.better != "lower":
        word = "above" if score.value > floor else "below"
        yield f"{number(abs(score.value - floor), 2)}{unit(score)} {word} {whose}."


def against_rival(score: Score, name: str) -> Iterator[str]:
    """A sentence on a score and a rival's, where one is better."""
    who, other = spaced(name), score.rivals[name]
    match standing(score, name):
        case "same":
            yield f"No better than {who}."
        case "worse":
            yield f"Worse than {who}."
        case "better" if not _has_ratio(score, other):
            yield f"{number(gain(score, name), 2)}{unit(score)} better than {who}."
        case "better" if score.better == "lower":
            yield f"{times(other / score.value)} smaller than {who}."
        case "better":
            yield f"{times(score.value / other)} larger than {who}."
        case _:
            return


def headline(score: Score) -> str:
    """A reading in a sentence: rivals that are not beaten, else a floor that is reached, else the nearest rival."""
    standings = {name: standing(score, name) for name in score.rivals}
    for lost, words in (("worse", "Worse than"), ("same", "No better than")):
        names = [spaced(name) for name, found in standings.items() if found == lost]
        if names:
            floor = (
                f", though as good as {score.floor_of or 'the best that is possible'}"
                if at_floor(score)
                else ""
            )
            return f"{words} {listing(names)}{floor}."
    told = list(against_floor(score))
    beaten = sorted(
        (name for name, found in standings.items() if found == "better"), key=lambda n: gain(score, n)
    )
    rivals = [s for name in beaten for s in against_rival(score, name)]
    return (told if at_floor(score) else rivals or told or [""])[0]


def _known(error: float) -> float:
    """An error; 0 where it is not known."""
    return error if math.isfinite(error) else 0.0


def unit(score: Score) -> str:
    """The unit after a number."""
    return f" {score.unit}" if score.unit else ""


def _has_ratio(score: Score, other: float) -> bool:
    """Whether a ratio to another number means something: not for log densities, nor across zero."""
    return "nat" not in score.unit and score.value > 0 and other > 0
