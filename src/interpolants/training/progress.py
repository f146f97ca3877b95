"""The progress bar: steps, time left, and the last logged loss."""

import sys
import time
from collections.abc import Iterable, Mapping

from torch import Tensor
from tqdm import tqdm

from interpolants.training.world import leads

# Steps by which the time of a training is estimated.
_MEASURED = 5


def tell(stage: str, words: str, *, shown: bool) -> None:
    """One line of a finished stage on standard error, if there is something to say and it is to be shown."""
    if shown and words and leads():
        tqdm.write(f"{stage}: {words}", file=sys.stderr)


class ProgressBar:
    """A tqdm bar on standard error; says nothing when not ``shown``.

    Args:
        first: Steps that are already done.
        last: Number of steps in all.
        shown: Whether to show anything.
    """

    def __init__(self, first: int, last: int, *, shown: bool) -> None:
        self._bar = tqdm(total=last, initial=first, unit="step", dynamic_ncols=True) if shown else None

    def tell(self, words: str) -> None:
        """Print a line above the progress bar."""
        if self._bar is not None:
            self._bar.write(words, file=sys.stderr)

    def advance(self) -> None:
        """Advance the progress bar by one step."""
        if self._bar is not None:
            self._bar.update(1)

    def show(self, row: Mapping[str, float]) -> None:
        """Show the loss of a logged row beside the bar."""
        if self._bar is not None:
            self._bar.set_postfix(loss=f"{row['loss']:.4g}", refresh=False)

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()


class Estimate:
    """Says once, after a few steps, what is trained and about how long it takes; the first step is not counted.

    Args:
        parameters: What is trained.
        first: Steps that are already done.
        last: Number of steps in all.
        bar: Where it is said.
    """

    def __init__(self, parameters: Iterable[Tensor], first: int, last: int, bar: ProgressBar) -> None:
        self._count = sum(p.numel() for p in parameters)
        self._left, self._bar = last - first, bar
        self._done, self._begun = 0, 0.0

    def advance(self) -> None:
        """Advance the progress bar by one step."""
        self._done += 1
        if self._done == 1:
            self._begun = time.perf_counter()
        elif self._done == _MEASURED + 1 and self._left > _MEASURED + 1:
            seconds = (time.perf_counter() - self._begun) / _MEASURED * self._left
            words = f"{self._count:,} parameters, {self._left:,} steps: about {duration(seconds)}"
            self._bar.tell(f"{words}, as measured over {_MEASURED} steps")


def duration(seconds: float) -> str:
    """Seconds in the unit that people would use: 40 s, 7 min, 3.2 h."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
