"""A bridge in the middle of its training: the weights of the newest checkpoint, for samples while a run goes on."""

import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

from interpolants.foundations.errors import InterpolantsError
from interpolants.methods.bridge.bridge import Bridge
from interpolants.runs.recipe_run import TRAIN, CellWork

_STAGE = "match"  # of a bridge's fit


@dataclass
class Snapshots:
    """The newest snapshot of a cell in training, made once for each checkpoint.

    Attributes:
        work: The cell.
        step: Step of the checkpoint; 0 before the first one.
        bridge: The bridge with its weights; None before.
    """

    work: CellWork
    step: int = 0
    bridge: Bridge | None = None
    _tried: int = 0
    _making: Lock = field(default_factory=Lock, repr=False)

    def look(self) -> Bridge | None:
        """The bridge at the newest checkpoint that can be read; an older one where that is being written."""
        with self._making:
            newest = max((self.work.folder / TRAIN / _STAGE / "checkpoints").glob("step-*"), default=None)
            step = 0 if newest is None else int(newest.name.partition("-")[2])
            if newest is not None and step != self._tried and isinstance(self.work.unfitted, Bridge):
                self._tried = step
                with suppress(
                    InterpolantsError, OSError
                ):  # it was just replaced, or the data are elsewhere now
                    self.bridge, self.step = self._made(newest), step
        return self.bridge

    def _made(self, checkpoint: Path) -> Bridge:
        """A fit of its own that goes on from a copy of the checkpoint, for a single step."""
        bridge = self.work.unfitted.clone().set_params(leg=None, device="cpu")
        with TemporaryDirectory(prefix="interpolants-") as folder:
            shutil.copytree(checkpoint, Path(folder) / _STAGE / "checkpoints" / checkpoint.name)
            self.work.task.fit(bridge, out=Path(folder), resume=True, callbacks=[lambda moment: True])
        assert isinstance(bridge, Bridge)
        return bridge.forget_training()
