"""Series of electricity demand."""

import ast

import numpy as np
from numpy.typing import NDArray

from interpolants.data.bundled import BundledFile
from interpolants.data.packaged import Found, Opened, packaged
from interpolants.foundations.errors import invalid

TAYLOR = BundledFile(
    package="pmdarima",
    path="pmdarima/datasets/taylor.py",
    sha256="3df2f44f654bfe4338ea39350912140c9710fa776270f50a2529b2f5c87a4e19",
    version="2.1.1",
    install="pip install 'interpolants[forecast]'",
)
_DAY, _DAYS, _TRAIN_DAYS = 48, 84, 63


@packaged(
    TAYLOR,
    licence="MIT (package)",
    own="a text file with the 4,032 values, one a line, under a header or none, such as one by write.csv(taylor, "
    "row.names = FALSE) with the R package forecast",
)
def load_electricity_demand(file: Opened, *, hourly: bool = False, times: bool = False) -> Found:
    """Demand in England and Wales, half-hourly from Monday 5 June to Sunday 27 August 2000: 4,032 values in megawatts.

    The first nine weeks train, the last three are the test.

    Args:
        hourly: Average two half-hours.
        times: Put the time of each row before its demand, in days since the first of all rows; float64, and no index.

    Returns:
        ``x`` (N, 1), with the time of the first row and the frequency in ``info``, which ``table()`` has for an index;
        (N, 2) with times.

    Source: Taylor (2003), Journal of the Operational Research Society 54, 799-805.
    """
    values = _own_values(file) if file.path else _packaged_values(file)
    day, frequency = (_DAY, "30min") if not hourly else (_DAY // 2, "h")
    values = values.reshape(-1, 2).mean(1) if hourly else values
    demand = values[:, None].astype(np.float32)
    days = np.arange(len(demand)) / day
    part = np.where(days < _TRAIN_DAYS, "train", "test")
    if times:
        return Found(x=np.hstack([days[:, None], demand]), part=part, columns=("day", "demand"))
    clock = np.datetime64("2000-06-05T00:00") + np.arange(len(demand)) * np.timedelta64(24 * 60 // day, "m")
    return Found(x=demand, part=part, columns=("demand",), times=clock, frequency=frequency)


def _packaged_values(file: Opened) -> NDArray[np.float64]:
    """The longest list of numbers in the package's source, which is read and not run."""
    lists = [node for node in ast.walk(ast.parse(file.text())) if isinstance(node, ast.List)]
    return np.array(ast.literal_eval(max(lists, key=lambda node: len(node.elts))), dtype=np.float64)


def _own_values(file: Opened) -> NDArray[np.float64]:
    lines = file.text().split()
    cells = [line.strip('"').replace(".", "", 1) for line in lines]
    lines = lines[1:] if cells and not cells[0].isdigit() else lines
    if len(lines) != _DAY * _DAYS or not all(cell.isdigit() for cell in cells[-len(lines) :]):
        rule = f"the file must contain {_DAY * _DAYS} numbers, one per line"
        raise invalid(file.who, rule, f"{len(lines)} words in {file.path}")
    return np.array([line.strip('"') for line in lines], dtype=np.float64)
