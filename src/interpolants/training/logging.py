"""The log of a run: the same rows as CSV for tables and as JSON lines for programs."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from interpolants.foundations.errors import invalid
from interpolants.foundations.storage import write_text

Row = dict[str, float]

# Seconds have a log of their own: all other files of a resumed run equal those of an undisturbed one.
TIMES = "times"


class Log:
    """Appends rows to ``<stem>.csv`` and ``<stem>.jsonl``, each flushed when it is written.

    A number that is not finite is ``nan`` or ``inf`` in the CSV and ``null`` in the JSON lines.

    Args:
        folder: The run's folder; ``None`` keeps the rows in memory only.
        stem: File name without its ending.
        after: Resume after this step: later rows, and a row cut short by a crash, are dropped.
        without: Columns of an older version, dropped as well.
    """

    def __init__(
        self, folder: Path | None, stem: str, *, after: int = 0, without: Sequence[str] = ()
    ) -> None:
        self._without = set(without)
        self.rows: list[Row] = []
        self._csv = folder / f"{stem}.csv" if folder else None
        self._json = folder / f"{stem}.jsonl" if folder else None
        if self._json and self._json.exists():
            self._take_up(after)

    def add(self, row: Row) -> None:
        """Write one row; every row has the columns of the first."""
        if self.rows and row.keys() != self.rows[0].keys():
            raise invalid("Log", f"every row must have the columns {list(self.rows[0])}", list(row))
        if self._csv and self._json:
            with self._csv.open("a", newline="") as stream:
                stream.write(_csv_text(row, header=not self.rows))
            with self._json.open("a") as stream:
                stream.write(_json_text(row))
        self.rows.append(row)

    def _take_up(self, after: int) -> None:
        assert self._csv is not None
        assert self._json is not None
        kept = takewhile(lambda row: row["step"] <= after, read_log(self._json))
        self.rows = [{key: row[key] for key in row if key not in self._without} for row in kept]
        write_text(self._csv, "".join(_csv_text(row, header=i == 0) for i, row in enumerate(self.rows)))
        write_text(self._json, "".join(map(_json_text, self.rows)))


def read_log(file: Path) -> list[Row]:
    """The whole rows of a log in JSON lines, also of one that is being written; none where the file is not there."""
    rows: list[Row] = []
    lines = file.read_text(errors="replace").splitlines() if file.is_file() else []
    for line in lines:
        try:
            row = {str(k): math.nan if v is None else v for k, v in json.loads(line).items()}
        except (ValueError, AttributeError):
            break  # the process died while it wrote this line, or is writing it
        if not isinstance(row.get("step"), int):
            break
        rows.append(row)
    return rows


def training_seconds(folder: Path) -> float | None:
    """Training time of the run with its logs in ``folder``, in seconds; None if it is not known."""
    rows = read_log(folder / f"{TIMES}.jsonl")
    return rows[-1].get("seconds") if rows else None


def plain_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of a log for JSON, which has no words for NaN and infinity: None in their place."""
    return [
        {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in row.items()}
        for row in rows
    ]


def _csv_text(row: Mapping[str, float], *, header: bool) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    if header:
        writer.writerow(row)
    writer.writerow(row.values())
    return stream.getvalue()


def _json_text(row: Mapping[str, float]) -> str:
    return json.dumps({k: v if math.isfinite(v) else None for k, v in row.items()}, allow_nan=False) + "\n"
