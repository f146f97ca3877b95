"""The progress bar: steps, time left, and the last logged loss."""

import sys
from collections.abc import Mapping

from tqdm import tqdm

from interpolants.training.world import leads


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

    def advance(self) -> None:
        """Count one step."""
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
