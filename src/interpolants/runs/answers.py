"""Answers of methods in files and on the terminal, and rows of users' files for them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from os.path import isfile  # a text may be too long for a path
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from interpolants.data.arrays import is_table
from interpolants.data.coded_columns import TABLES, label_words, read_coded
from interpolants.data.series_table import READS, each_column, read_series_table
from interpolants.dynamics.sample import Samples
from interpolants.foundations.errors import invalid
from interpolants.foundations.storage import check_place, replacing
from interpolants.framework.answers import Ensemble, Predictive, WritesFiles
from interpolants.framework.method import Method
from interpolants.framework.role import ReadsFiles, Role, kind_of
from interpolants.framework.self_checks import CheckReport
from interpolants.runs.files import WRITES, check_free, labels_if_whole, read_table, read_texts, write_table


def check_writable(out: Path | None, *, force: bool, also: Sequence[str] = (), several: bool = False) -> None:
    """Refuse a file that exists or cannot be written, before any work is done; a folder is for methods and lists.

    Args:
        out: The file or folder.
        force: Replace a file that is there.
        also: Endings that the answer writes itself.
        several: Whether there is an answer for each file of a folder.
    """
    if out is not None and several:
        if out.suffix.lower() in (*WRITES, ".txt", *also):
            rule = "answers for a folder of files must go to a folder"
            raise invalid(str(out), rule, repr(out.suffix), f"Write to {out.with_suffix('')}.")
        check_free(out, force=force, endings=(out.suffix.lower(),))
    elif out is not None and out.suffix:
        check_free(out, force=force, endings=(*WRITES, ".txt", *also))
    if out is not None:
        check_place(out)


def is_folder_of(role: Role, text: Any) -> bool:
    """Whether a word names a folder whose files are a value of the role each, with an answer of its own."""
    return getattr(kind_of(role), "folders_of_files", False) and isinstance(text, str) and Path(text).is_dir()


def takes_words(role: Role) -> bool:
    """Whether a value may be a word, the name of a label."""
    return bool(getattr(kind_of(role), "takes_words", False))


def read_rows(
    text: str, role: Role, key: str | None = None, *, frequency: str = "", columns: Sequence[str] = ()
) -> Any:
    """Rows of a role from a file: columns of a table with names come in the order of the role, where it knows one.

    Args:
        text: The file; for tokens also the text itself.
        role: The role.
        key: Name of the array in a file of several.
        frequency: Clock of the fit, for series with dates.
        columns: Columns of the fit, for series: a fit of one takes each column of a file as a series of its own.
    """
    path, kind = Path(text), kind_of(role)
    if isinstance(kind, ReadsFiles):
        return kind.read_file(text, role, key)
    if role.kind == "series" and path.suffix.lower() in READS:
        found = read_series_table(text, f"--{role.name}", frequency=frequency)
        apart = len(columns) == 1 and found.shape[1] > 1 and columns[0] not in map(str, found.columns)
        return each_column(found, str(columns[0])) if apart else found
    if role.kind == "ragged":
        return [
            read_rows(str(file), Role(name=role.name)) for file in sorted(path.glob("*")) if file.is_file()
        ]
    if role.kind == "tokens" and not isfile(text):  # the text itself
        return text
    if path.suffix.lower() == ".txt":
        return read_texts(text, f"--{role.name}")
    if _takes_tables(role, path):
        return read_coded(path, f"--{role.name}")
    if takes_words(role) and path.suffix.lower() in TABLES and (words := label_words(path, columns)):
        return words
    found = read_table(text, f"--{role.name}", key=key, order=role.columns, exact=role.exact, gaps=role.gaps)
    if role.kind == "tokens":
        return found.x.long()
    return labels_if_whole(found.x) if role.kind in ("condition", "labels") else found.x


def _takes_tables(role: Role, path: Path) -> bool:
    """Whether a file is read as a table with strings and dates."""
    return (role.words or role.typed) and path.suffix.lower() in TABLES


# What files and processes take: texts, or arrays by name, the main one first.
Plain = list[str] | dict[str, np.ndarray[Any, Any]]


def plain_answer(answer: Any, verb: str = "x") -> Plain:
    """An answer as texts or arrays; a number for each row is named after the verb."""
    if texts := _texts(answer):
        return texts
    if isinstance(answer, Mapping):
        return {name: _array(part) for name, part in answer.items()}
    if callable(getattr(answer, "columns", None)):
        return {name: _array(x) for name, x in answer.columns().items()}
    array = _array(answer.x if isinstance(answer, Ensemble | Samples) else answer)
    return {verb if array.ndim == 1 else "x": array}


def write_answer(
    answer: Any, out: Path, verb: str = "x", *, columns: Sequence[str] = (), force: bool = False
) -> None:
    """An answer to a file, a method to a folder, a list of arrays to a folder of files."""
    if isinstance(answer, WritesFiles) and (out.suffix.lower() in answer.writes or answer.writes == ("",)):
        check_free(out, force=force, endings=(out.suffix.lower(),))
        answer.write_file(out)
    elif isinstance(answer, Method):
        answer.save(out)
    elif isinstance(answer, CheckReport):
        _write_text(out, str(answer), force=force)
    elif texts := _texts(answer):
        _write_text(out, "\n".join(texts), force=force)
    elif isinstance(answer, list):
        for number, part in enumerate(answer):
            write_answer(part, out / f"{number:05d}.csv", verb, columns=columns, force=force)
    elif isinstance(answer, Ensemble) and out.suffix.lower() == ".csv":
        check_free(out, force=force)
        with replacing(out) as temporary:
            answer.table().to_csv(temporary)
    else:
        own = tuple(map(str, answer.columns)) if is_table(answer) and not columns else columns
        tables = isinstance(answer, Mapping) and out.suffix.lower() in (".csv", ".parquet")
        parts = _by_column(answer) if tables else answer
        write_table(out, _arrays(parts, verb), columns=own, force=force)


def _by_column(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Parts of an answer, tables by their columns, ``place_x``."""
    found: dict[str, Any] = {}
    for name, part in answer.items():
        found |= (
            {f"{name}_{column}": part[column] for column in part.columns} if is_table(part) else {name: part}
        )
    return found


def _write_text(out: Path, text: str, *, force: bool) -> None:
    check_free(out, force=force, endings=(".txt",))
    with replacing(out) as temporary:
        temporary.write_text(text + "\n", "utf-8")


def _summary(answer: Any) -> str:
    """Quantiles of an ensemble over time as text; empty for anything else."""
    if not (isinstance(answer, Ensemble) and answer.times is not None and answer.x.ndim == 4):
        return ""
    return str(answer.summary().to_string(max_rows=12, float_format="{:.5g}".format))


def _texts(answer: Any) -> list[str]:
    """The lines of an answer that is text; none for anything else."""
    lines = [answer] if isinstance(answer, str) else answer
    return lines if isinstance(lines, list) and all(isinstance(line, str) for line in lines) else []


def _arrays(answer: Any, verb: str) -> dict[str, np.ndarray[Any, Any]]:
    found = plain_answer(answer, verb)
    assert isinstance(found, dict)
    return found


def _array(value: Any) -> np.ndarray[Any, Any]:
    plain = value.detach().cpu() if isinstance(value, Tensor) else value
    return np.asarray(plain)


def tell(answer: Any, out: Path | None, verb: str = "x") -> str:
    """One line about an answer, and its first rows where it went to no file."""
    where = f" in {out}" if out is not None else ""
    if isinstance(answer, Method):
        return f"{answer!r}{where}"
    if isinstance(answer, CheckReport):
        return str(answer) if out is None else f"{len(answer.checks)} checks{where}"
    if texts := _texts(answer):
        return "\n".join(texts) if out is None else f"{len(texts)} texts{where}"
    if isinstance(answer, list):
        return f"{len(answer)} items{where}"
    if isinstance(answer, Predictive) and out is None:  # covariances with all rows are for files
        return _rows(_arrays(replace(answer, joint=None), verb))
    arrays = _arrays(answer, verb)
    told = ", ".join(f"{name} {tuple(value.shape)}" for name, value in arrays.items()) + where
    first = next(iter(arrays.values()))
    measures = first.ndim == 1 and first.dtype.kind in "fiub"  # words have no mean
    if measures and len(first) > 1 and not isinstance(answer, Predictive) and np.isfinite(first).all():
        told += f"; mean {first.mean():.6g} ± {first.std(ddof=1) / len(first) ** 0.5:.2g}"
    if out is not None:
        return told
    if summary := _summary(answer):
        return f"{told}\n{summary}"
    with np.printoptions(precision=5, threshold=40, edgeitems=3):
        return f"{told}\n{first}"


def _rows(arrays: Mapping[str, np.ndarray[Any, Any]], most: int = 12) -> str:
    """Columns side by side, the first rows."""
    width = max(12, *(len(name) + 1 for name in arrays))
    lines = ["".join(f"{name:>{width}}" for name in arrays)]
    rows = list(zip(*(array[:most].tolist() for array in arrays.values()), strict=True))
    lines += ["".join(f"{value:>{width}.5g}" for value in row) for row in rows]
    left = len(next(iter(arrays.values()))) - len(rows)
    return "\n".join([*lines, *([f"... and {left} more rows; --out writes them all"] if left else [])])


def as_json(answer: Any, out: Path | None, verb: str = "x") -> dict[str, Any]:
    """An answer for programs: where it is and what it holds, or all of it where it went to no file."""
    if isinstance(answer, CheckReport):
        return {"ok": answer.ok, "checks": [asdict(check) for check in answer.checks]}
    if isinstance(answer, Method | list) and not (out is None and _texts(answer)):
        return {"out": None if out is None else str(out), "what": tell(answer, out, verb)}
    found = plain_answer(answer, verb)
    if isinstance(found, list):
        return {"texts": found}
    told: dict[str, Any] = {"out": None if out is None else str(out)}
    for name, array in found.items():
        told[name] = {"shape": list(array.shape)}
        if array.ndim == 1 and array.dtype.kind == "f" and len(array):
            told[name] |= {"mean": float(array.mean()), "n": len(array)}
            told[name] |= {"error": float(array.std(ddof=1) / len(array) ** 0.5)} if len(array) > 1 else {}
        if out is None:
            told[name]["values"] = array.tolist()
    return told
