"""Folder of a training run: its checkpoints and its logs."""

import time
from pathlib import Path

from interpolants.foundations.errors import invalid
from interpolants.foundations.links import refuse_links
from interpolants.foundations.tell import FileWarning, tell
from interpolants.training.checkpoint import Checkpoint, prepare
from interpolants.training.logging import TIMES, Log, training_seconds
from interpolants.training.run_state import RunState

_LOGS = ("log", "validation", TIMES)


class RunFolder:
    """Where a run writes; nowhere without a folder, and only from the first process.

    Args:
        folder: The folder, visible to all processes.
        run: The run.

    Attributes:
        checkpoint: The last checkpoint that was written or found.
        seconds: Training time before this call.
    """

    def __init__(self, folder: Path | None, run: RunState) -> None:
        self.folder, self._run = folder, run
        self.checkpoint: Path | None = None
        self.seconds = 0.0
        self.log = self.validation = self._times = Log(None, "log")

    def open(self, *, resume: bool) -> None:
        """Give all processes one state: the checkpoint's, or the first process's.

        Raises:
            InvalidInputError: If the folder holds another run, or damaged checkpoints only.
        """
        run = self._run
        if self.folder:
            found = self._find(self.folder, resume=resume) if run.world.leads else -1
            if found := run.world.agree(found):
                self.checkpoint = self.folder / "checkpoints" / f"step-{found:08d}"
                run.restore(Checkpoint.load(self.checkpoint), self.checkpoint)
        run.share_out()
        folder = self.folder if run.world.leads else None
        self.log = Log(folder, "log", after=run.step, without=("seconds",))
        # Before the first checkpoint all is done again, the validation of the initial weights too.
        self.validation = Log(folder, "validation", after=run.step or -1)
        self._times = Log(folder, TIMES, after=run.step)
        if folder:
            self.seconds = training_seconds(folder) or 0.0

    def _find(self, folder: Path, *, resume: bool) -> int:
        """Step of the checkpoint to go on from, 0 to start; moves damaged ones out of the way."""
        refuse_links("fit", folder)
        root = folder / "checkpoints"
        if not resume:
            self._start(folder, root)
            return 0
        prepare(root)
        latest, passed = Checkpoint.latest(root)
        if passed and latest is None:
            raise invalid("fit", "out must hold a whole checkpoint", " | ".join(passed.values()))
        for path, reason in passed.items():
            path.rename(root / f"damaged-{path.name}-{time.time_ns()}")
            tell(FileWarning, f"fit: passed over a damaged checkpoint: {reason}")
        return latest.step if latest else 0

    def _start(self, folder: Path, root: Path) -> None:
        if root.is_dir() and any(root.glob("step-*")):
            remedy = "Pass resume=True to go on, or choose another folder."
            raise invalid("fit", "out must not hold another run", str(folder), remedy)
        prepare(root)
        for stem in _LOGS:
            for ending in ("csv", "jsonl"):
                (folder / f"{stem}.{ending}").unlink(missing_ok=True)

    def note_time(self, seconds: float) -> None:
        """Write the training time so far, once a step."""
        rows = self._times.rows
        if not rows or rows[-1]["step"] != self._run.step:
            self._times.add({"step": self._run.step, "seconds": round(seconds, 3)})

    def save(self) -> None:
        """Write a checkpoint of this moment, from the first process; the others wait for it."""
        if not self.folder:
            return
        run, root = self._run, self.folder / "checkpoints"
        found = run.checkpoint() if run.world.leads or run.cut else None
        if found is not None and not run.world.leads:
            found.save_piece(root, run.world.rank)
        if run.cut:  # the folder of the step says that it is whole, so it comes last
            run.world.barrier()
        if found is not None and run.world.leads:
            self.checkpoint = found.save(root, keep=run.settings.keep)
        run.world.barrier()
