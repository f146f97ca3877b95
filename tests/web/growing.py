"""A run put back to an earlier moment, so that a test can let it grow again."""

import shutil


class Growing:
    """A copy of a trained run without its model and checkpoints, and with none of its log.

    Attributes:
        folder: The copy.
    """

    def __init__(self, run, folder):
        shutil.copytree(run, folder)
        self.folder, cell = folder, folder / "work" / "main"
        self.model, self._hidden = cell / "model", cell / "hidden"
        self.model.rename(self._hidden)
        self.checkpoints = cell / "train" / "match" / "checkpoints"
        self.checkpoints.rename(cell / "hidden checkpoints")
        self.log = cell / "train" / "match" / "log.jsonl"
        self._lines = self.log.read_text().splitlines(keepends=True)
        self.log.unlink()

    def write(self, rows, cut=""):
        """Its log as it was after so many rows, with the beginning of one more."""
        self.log.write_text("".join(self._lines[:rows]) + cut)

    def keep(self):
        """Its checkpoints."""
        (self.model.parent / "hidden checkpoints").rename(self.checkpoints)

    def finish(self):
        """Its model, as it came at the end."""
        self._hidden.rename(self.model)
