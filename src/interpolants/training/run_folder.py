"""Folder of a training run: its checkpoints and its logs."""

import time
from pathlib import Path

import torch

from interpolants.foundations.errors import InterpolantsError, invalid
from interpolants.foundations.links import refuse_links
from interpolants.foundations.storage import StorageError
from interpolants.foundations.tell import FileWarning, tell
from interpolants.training.checkpoint import Checkpoint, prepare, steps_in
from interpolants.training.logging import TIMES, Log, training_seconds
from interpolants.training.run_state import RunState

_LOGS = ("log", "validation", TIMES)


class RunFolder:
    """Output folder of a run; only the first process writes, and nothing is written without a folder.

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
            self._restore(self.folder, resume=resume)
        run.share_out()
        folder = self.folder if run.world.leads else None
        self.log = Log(folder, "log", after=run.step, without=("seconds",))
        # Before the first checkpoint all is done again, the validation of the initial weights too.
        self.validation = Log(folder, "validation", after=run.step or -1)
        self._times = Log(folder, TIMES, after=run.step)
        if folder:
            self.seconds = training_seconds(folder) or 0.0

    def _restore(self, folder: Path, *, resume: bool) -> None:
        """Restore the newest checkpoint that all processes can read; newer ones are moved out of the way.

        Each process reads its own part, so that damage may show on one of them alone.
        """
        run, root = self._run, folder / "checkpoints"
        steps = self._steps(folder, resume=resume) if run.world.leads else []
        passed: dict[Path, str] = {}
        while step := run.world.agree(steps.pop(0) if steps else 0):
            path = root / f"step-{step:08d}"
            stored, reason = _tried(path, run)
            if not int(run.world.total(torch.tensor(int(stored is None), device=run.device))):
                break
            passed[path] = reason or "another process could not read its part of it"
        if passed and not step:
            raise invalid("fit", "out must contain a whole checkpoint", " | ".join(passed.values()))
        self._set_aside(passed)
        if step and stored is not None:
            self.checkpoint = path
            run.restore(stored, path)

    def _set_aside(self, damaged: dict[Path, str]) -> None:
        """Move damaged checkpoints out of the way, and issue a warning for each."""
        if not self._run.world.leads:
            return
        for path, reason in damaged.items():
            path.rename(path.with_name(f"damaged-{path.name}-{time.time_ns()}"))
            tell(FileWarning, f"fit: passed over a damaged checkpoint: {reason}")

    def _steps(self, folder: Path, *, resume: bool) -> list[int]:
        """Steps of the existing checkpoints, the newest first."""
        refuse_links("fit", folder)
        root = folder / "checkpoints"
        if not resume:
            self._start(folder, root)
            return []
        prepare(root)
        return steps_in(root)

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
        writes = run.world.leads or run.world.rank < run.pieces  # others hold copies of slices
        found = run.checkpoint() if writes else None
        if found is not None and not run.world.leads:
            found.save_piece(root, run.world.rank)
        if run.cut:  # the folder of the step says that it is whole, so it comes last
            run.world.barrier()
        if found is not None and run.world.leads:
            self.checkpoint = found.save(root, keep=run.settings.keep)
        run.world.barrier()


def _tried(path: Path, run: RunState) -> tuple[Checkpoint | None, str]:
    """Part of a checkpoint for this process, or the reason why it is damaged."""
    try:
        return (Checkpoint.load_own(path, run.slice_of) if run.cut else Checkpoint.load(path)), ""
    except StorageError:  # the disk does not read it now; it may be undamaged
        raise
    except InterpolantsError as error:
        return None, str(error)
