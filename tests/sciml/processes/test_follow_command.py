"""A live session on the command line says what the session in Python says."""

import csv
import io
import json

import numpy as np
import pandas
import pytest
from typer.testing import CliRunner

from interpolants.cli.app import app
from interpolants.methods import GaussianFit
from interpolants.sciml.processes import PVRNN

RUN = CliRunner()


@pytest.fixture(scope="module")
def model():
    rows = np.random.default_rng(0).uniform(size=(12, 2))
    return PVRNN(layers=[{"d": 4, "z": 1, "tau": 2.0}], window=4, iterations=2, steps=5).fit(
        pandas.DataFrame(rows, columns=["a", "b"])
    )


@pytest.fixture(scope="module")
def place(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("follow")
    model.save(folder / "model")
    return folder


def follow(place, *words, text=None, code=0):
    done = RUN.invoke(app, ["follow", str(place / "model"), *map(str, words)], input=text)
    assert done.exit_code == code, done.output
    return done


def test_a_stream_with_columns_in_another_order(model, place):
    text = "when,b,a\nmon,0.2,0.1\ntue,,0.3\nwed,0.6,0.5\n"
    found = list(csv.DictReader(io.StringIO(follow(place, "--steps", 2, "--seed", 3, text=text).stdout)))
    session = model.follow(steps=2, seed=3)
    for row, frame in zip(found, [(0.1, 0.2), (0.3, np.nan), (0.5, 0.6)], strict=True):
        told = session.feed(frame)
        assert float(row["surprise"]) == pytest.approx(told.surprise, rel=1e-4)
        wanted = [*told.expected, *told.ahead[1]]
        names = ["expected_a", "expected_b", "ahead2_a", "ahead2_b"]
        np.testing.assert_allclose([float(row[name]) for name in names], wanted, rtol=1e-4)


def test_a_file_and_json_lines(place):
    (place / "past.csv").write_text("a,b\n0.1,0.2\n0.3,0.4\n")
    lines = follow(place, place / "past.csv", "--json", "--steps", 1).stdout.splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2]


def test_refusals(place, tmp_path):
    assert "must name a, b, got no 'b'" in follow(place, text="a,c\n1,2\n", code=2).output
    assert "past-gone.csv: No such file" in follow(place, tmp_path / "past-gone.csv", code=2).output
    GaussianFit().fit(x1=np.random.default_rng(0).normal(size=(50, 2))).save(tmp_path / "model")
    assert "must be able to follow a series, got GaussianFit" in follow(tmp_path, text="1,2\n", code=2).output
