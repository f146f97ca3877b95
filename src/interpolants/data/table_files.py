"""Tables of CSV and Parquet files as DataFrames, unless a small file would become gigabytes."""

import importlib.util
import io
from pathlib import Path
from typing import Any

from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.foundations.unpacking import check_unpacked, gunzipped

# Endings by which pandas would unpack a file without a bound.
_PACKED = (".bz2", ".xz", ".zip", ".zst", ".tar")


def csv_frame(who: str, path: str | Path, **how: Any) -> Any:
    """A DataFrame of a text file, plain or packed by gzip.

    Args:
        who: Public name for errors.
        path: The file.
        how: Arguments of ``pandas.read_csv``.

    Raises:
        InvalidInputError: If the file is packed otherwise, or becomes out of all proportion.
        MissingExtraError: If pandas is not installed.
    """
    pandas, place = require("pandas", by=who), Path(path)
    if place.suffix.lower() in _PACKED:
        raise invalid(who, "a table must be plain text or .gz", place.name, "Unpack it first.")
    if place.suffix.lower() == ".gz":
        return pandas.read_csv(io.BytesIO(gunzipped(who, place.name, place.read_bytes())), **how)
    return pandas.read_csv(path, compression=None, **how)


def parquet_frame(who: str, path: str | Path) -> Any:
    """A DataFrame of a Parquet file.

    Raises:
        InvalidInputError: If it becomes out of all proportion: run lengths pack equal numbers without a bound.
        MissingExtraError: If pandas is not installed.
    """
    pandas = require("pandas", by=who)
    if importlib.util.find_spec("pyarrow") is None:  # another engine, or none
        return pandas.read_parquet(path)
    about = require("pyarrow.parquet", by=who).read_metadata(path)
    groups = sum(about.row_group(k).total_byte_size for k in range(about.num_row_groups))
    numbers = 8 * about.num_rows * about.num_columns
    check_unpacked(who, Path(path).name, Path(path).stat().st_size, max(groups, numbers))
    return pandas.read_parquet(path)
