"""Answers of methods in files and on the terminal, and rows of users' files for them."""

from collections.abc import Mapping
from os.path import isfile  # a text may be too long for a path
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from interpolants.data.coded_columns import TABLES, read_coded
from interpolants.data.series_table import READS, read_series_table
from interpolants.framework.method import Method
from interpolants.framework.roles import Role
from interpolants.runs.files import WRITES, check_free, read_table, read_texts, write_table


def check_writable(out: Path | None, *, force: bool) -> None:
    """Refuse a file that exists or cannot be written, before any work is done; a folder is for methods and lists."""
    if out is not None and out.suffix:
        check_free(out, force=force, endings=(*WRITES, ".txt"))


def read_rows(text: str, role: Role, *, frequency: str = "") -> Any:
    """Rows of a role from a file: columns of a table with names come in the order of the role, where it knows one.

    Args:
        text: The file; for tokens also the text itself.
        role: The role.
        frequency: Clock of the fit, for series with dates.
    """
    path = Path(text)
    if role.kind == "series" and path.suffix.lower() in READS:
        return read_series_table(text, f"--{role.name}", frequency=frequency)
    if role.kind == "ragged":
        return [
            read_rows(str(file), Role(name=role.name)) for file in sorted(path.glob("*")) if file.is_file()
        ]
    if role.kind == "tokens" and not isfile(text):  # the text itself
        return text
    if path.suffix.lower() == ".txt":
        return read_texts(text, f"--{role.name}")
    if role.words and path.suffix.lower() in TABLES:
        return read_coded(path, f"--{role.name}")
    found = read_table(text, f"--{role.name}", order=role.columns, exact=role.exact)
    if role.kind == "tokens":
        return found.x.long()
    whole = role.kind in ("condition", "labels") and bool((found.x == found.x.round()).all())
    if whole and found.x.shape[1:] == (1,):
        return found.x[:, 0].long()
    return found.x


def write_answer(answer: Any, out: Path, *, force: bool) -> None:
    """A tensor, table, mapping, ensemble or texts to a file; a method to a folder; a list to a folder of files."""
    if isinstance(answer, Method):
        answer.save(out)
    elif texts := _texts(answer):
        check_free(out, force=force, endings=(".txt",))
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text("\n".join(texts) + "\n", "utf-8")
    elif isinstance(answer, list):
        for number, part in enumerate(answer):
            write_answer(part, out / f"{number:05d}.csv", force=force)
    elif hasattr(answer, "table") and out.suffix.lower() == ".csv":
        check_free(out, force=force)
        out.parent.mkdir(parents=True, exist_ok=True)
        answer.table().to_csv(out)
    else:
        write_table(out, _arrays(answer), force=force)


def _summary(answer: Any) -> str:
    """Quantiles of an ensemble over time as text; empty for anything else."""
    timed = getattr(answer, "times", None) is not None and answer.x.ndim == 4
    if not timed:
        return ""
    return str(answer.summary().to_string(max_rows=12, float_format="{:.5g}".format))


def _texts(answer: Any) -> list[str]:
    """The lines of an answer that is text; none for anything else."""
    lines = [answer] if isinstance(answer, str) else answer
    return lines if isinstance(lines, list) and all(isinstance(line, str) for line in lines) else []


def _arrays(answer: Any) -> dict[str, np.ndarray[Any, Any]]:
    if isinstance(answer, Mapping):
        return {name: _array(part) for name, part in answer.items()}
    if hasattr(answer, "loc") and hasattr(answer, "scale"):
        return {"mean": _array(answer.mean), "std": _array(answer.std)}
    return {"x": _array(answer.x if hasattr(answer, "x") else answer)}


def _array(value: Any) -> np.ndarray[Any, Any]:
    plain = value.detach().cpu() if isinstance(value, Tensor) else value
    return np.asarray(plain)


def tell(answer: Any, out: Path | None) -> str:
    """One line about an answer, and its first rows where it went to no file."""
    where = f" in {out}" if out is not None else ""
    if isinstance(answer, Method):
        return f"{answer!r}{where}"
    if texts := _texts(answer):
        return "\n".join(texts) if out is None else f"{len(texts)} texts{where}"
    arrays = _arrays(answer) if not isinstance(answer, list) else {"items": np.empty(len(answer))}
    told = ", ".join(f"{name} {tuple(value.shape)}" for name, value in arrays.items()) + where
    if out is not None or isinstance(answer, list):
        return told
    if summary := _summary(answer):
        return f"{told}\n{summary}"
    first = next(iter(arrays.values()))
    with np.printoptions(precision=5, threshold=40, edgeitems=3):
        return f"{told}\n{first}"
