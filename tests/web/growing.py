"""A run put back to an earlier moment, so that a test can let it grow again."""

import shutil


class Growing:
    """A copy of a trained run without its bridge and with none of its log.

    Attributes:
        folder: The copy.
    """

    def __init__(self, run, folder):
        shutil.copytree(run, folder)
        self.folder, task = folder, folder / "main"
        self._bridge, self._hidden = task / "bridge", task / "hidden"
        self._bridge.rename(self._hidden)
        self._log = task / "train" / "match" / "log.jsonl"
        self._lines = self._log.read_text().splitlines(keepends=True)
        self._log.unlink()

    def write(self, rows, cut=""):
        """Its log as it was after so many rows, with the beginning of one more."""
        self._log.write_text("".join(self._lines[:rows]) + cut)

    def finish(self):
        """Its bridge, as it came at the end."""
        self._hidden.rename(self._bridge)
