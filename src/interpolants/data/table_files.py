"""Texts and tables of users' files, unless they are damaged or a small file would become gigabytes."""

import csv
import importlib.util
import io
from pathlib import Path
from typing import Any

from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.foundations.unpacking import check_unpacked, gunzipped, refusing_content

# Endings by which pandas would unpack a file without a bound.
_PACKED = (".bz2", ".xz", ".zip", ".zst", ".tar")


def text_of(who: str, path: str | Path, rule: str = "path must be a file that can be read") -> str:
    """Text of a user's file in UTF-8, plain or packed by gzip.

    Args:
        who: Name of the caller, used in error messages.
        path: The file.
        rule: Requirement on the file, used in error messages.

    Raises:
        InvalidInputError: If it cannot be read, is damaged or no text, or becomes out of all proportion.
    """
    place = Path(path)
    with refusing_content(who, f"{rule}: {place.name}"):
        return gunzipped(who, place.name, place.read_bytes()).decode("utf-8-sig")


def rows_of(who: str, text: str, rule: str) -> list[dict[str, str]]:
    """Rows of a CSV as mappings from the names in its first line; cells that are left out are empty.

    Args:
        who: Name of the caller, used in error messages.
        text: Text of the file.
        rule: Requirement on the file, used in error messages.

    Raises:
        InvalidInputError: If it is no CSV, or has no row.
    """
    with refusing_content(who, rule):
        found = list(csv.DictReader(io.StringIO(text, newline=""), restval=""))
    if not found:
        raise invalid(who, rule, "no rows")
    return found


def csv_frame(who: str, path: str | Path, **how: Any) -> Any:
    """A DataFrame of a text file, plain or packed by gzip.

    Args:
        who: Name of the caller, used in error messages.
        path: The file.
        how: Arguments of ``pandas.read_csv``.

    Raises:
        InvalidInputError: If the file is packed otherwise, or becomes out of all proportion.
        MissingExtraError: If pandas is not installed.
    """
    pandas, place = require("pandas", by=who), Path(path)
    if place.suffix.lower() in _PACKED:
        raise invalid(who, "a table must be plain text or .gz", place.name, "Unpack it first.")
    with refusing_content(who, f"{place.name} must be a table of text"):
        if place.suffix.lower() == ".gz":
            return pandas.read_csv(io.BytesIO(gunzipped(who, place.name, place.read_bytes())), **how)
        with place.open("rb") as file:  # by its name pandas would also take an address in the network
            return pandas.read_csv(file, compression=None, **how)


def parquet_frame(who: str, path: str | Path) -> Any:
    """A DataFrame of a Parquet file.

    Raises:
        InvalidInputError: If it becomes out of all proportion: run lengths pack equal numbers without a bound.
        MissingExtraError: If pandas is not installed.
    """
    pandas, name = require("pandas", by=who), Path(path).name
    with refusing_content(who, f"{name} must be a whole parquet file"), Path(path).open("rb"):
        if importlib.util.find_spec("pyarrow") is None:  # another engine, or none
            return pandas.read_parquet(path)
        about = require("pyarrow.parquet", by=who).read_metadata(path)
        groups = sum(about.row_group(k).total_byte_size for k in range(about.num_row_groups))
        numbers = 8 * about.num_rows * about.num_columns
        check_unpacked(who, name, Path(path).stat().st_size, max(groups, numbers))
        return pandas.read_parquet(path)
