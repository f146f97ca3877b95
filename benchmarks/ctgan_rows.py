"""Rows of CTGAN or TVAE for a table without missing cells, in a separate environment.

    python -m venv ctgan && ctgan/bin/pip install ctgan==0.12.1
    ctgan/bin/python benchmarks/ctgan_rows.py CTGAN train.csv discrete.json 2000 0 rows.csv

ctgan needs pandas below 3, and is licensed under BUSL-1.1: it is not a dependency of the library.
"""

import json
import sys
from pathlib import Path

import ctgan
import pandas as pd


def main(kind: str, table: str, discrete: str, n: str, seed: str, out: str) -> None:
    """Fit with the defaults of the package, and write ``n`` rows."""
    names = json.loads(Path(discrete).read_text("utf-8"))
    frame = pd.read_csv(table, dtype=dict.fromkeys(names, str), keep_default_na=False)
    model = getattr(ctgan, kind)(cuda=False)
    model.set_random_state(int(seed))
    model.fit(frame, discrete_columns=names)
    model.sample(int(n)).to_csv(out, index=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
