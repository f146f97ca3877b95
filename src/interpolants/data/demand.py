"""Series of electricity demand."""

import ast
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from interpolants.data.bundled import BundledFile, DataInfo, Dataset, Split, check_split, reads
from interpolants.data.table_files import text_of
from interpolants.foundations.errors import invalid
from interpolants.foundations.unpacking import refusing_content

TAYLOR = BundledFile(
    package="pmdarima",
    path="pmdarima/datasets/taylor.py",
    sha256="3df2f44f654bfe4338ea39350912140c9710fa776270f50a2529b2f5c87a4e19",
    version="2.1.1",
    install="pip install 'interpolants[forecast]'",
)
_DAY, _DAYS, _TRAIN_DAYS = 48, 84, 63


@reads(TAYLOR)
def load_electricity_demand(
    split: Split = "train", *, hourly: bool = False, times: bool = False, path: str | None = None
) -> Dataset:
    """Demand in England and Wales, half-hourly from Monday 5 June to Sunday 27 August 2000: 4,032 values in megawatts.

    Args:
        split: ``train`` (the first nine weeks), ``test`` (the last three) or ``all``.
        hourly: Average two half-hours.
        times: Put the time of each row before its demand, in days since the first of all rows; float64, and no index.
        path: A text file with the 4,032 values, one a line, under a header or none, instead of the package: data set
            ``taylor`` of the R package forecast, written by ``write.csv(taylor, "taylor.csv", row.names = FALSE)``.

    Returns:
        ``x`` (N, 1), with the time of the first row and the frequency in ``info``, which ``table()`` has for an index;
        (N, 2) with times.

    Raises:
        MissingExtraError: If pmdarima is not installed and no path is given.
        InvalidInputError: If the file is another one, or for an unknown split.

    Source: Taylor (2003), Journal of the Operational Research Society 54, 799-805.
    """
    who = "load_electricity_demand"
    check_split(who, split)
    values = _from_package(who) if path is None else _from_file(who, path)
    day, frequency = (_DAY, "30min") if not hourly else (_DAY // 2, "h")
    values = values.reshape(-1, 2).mean(1) if hourly else values
    first, last = {"train": (0, _TRAIN_DAYS), "test": (_TRAIN_DAYS, _DAYS), "all": (0, _DAYS)}[split]
    x = torch.from_numpy(values[first * day : last * day, None].astype(np.float32))
    if times:
        days = torch.arange(first * day, last * day, dtype=torch.float64)[:, None] / day
        x = torch.cat([days, x.double()], 1)
    packaged = path is None
    info = DataInfo(
        name="electricity_demand",
        shape=tuple(x.shape),
        split=split,
        source=f"{TAYLOR.package} {TAYLOR.installed_version()}" if packaged else str(path),
        licence="MIT (package)" if packaged else "",
        sha256={Path(TAYLOR.path).name: TAYLOR.sha256} if packaged else {},
        columns=("day", "demand") if times else ("demand",),
        start="" if times else str(np.datetime64("2000-06-05T00:00") + np.timedelta64(first, "D")),
        frequency="" if times else frequency,
    )
    return Dataset(x, None, info)


def _from_package(who: str) -> NDArray[np.float64]:
    """The longest list of numbers in the package's source, which is read and not run."""
    tree = ast.parse(TAYLOR.read(who).decode("utf-8"))
    lists = [node for node in ast.walk(tree) if isinstance(node, ast.List)]
    return np.array(ast.literal_eval(max(lists, key=lambda node: len(node.elts))), dtype=np.float64)


def _from_file(who: str, path: str) -> NDArray[np.float64]:
    lines = text_of(who, path, "path must be a readable text file").split()
    cells = [line.strip('"').replace(".", "", 1) for line in lines]
    lines = lines[1:] if cells and not cells[0].isdigit() else lines
    if len(lines) != _DAY * _DAYS or not all(cell.isdigit() for cell in cells[-len(lines) :]):
        rule = f"the file must hold {_DAY * _DAYS} numbers, one a line"
        raise invalid(who, rule, f"{len(lines)} words in {path}")
    with refusing_content(who, f"{path} must hold numbers"):
        return np.array([line.strip('"') for line in lines], dtype=np.float64)
