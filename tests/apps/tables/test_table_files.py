"""Tables in files: the method that `run --x1` takes, and verbs that read and write them."""

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from interpolants.apps.tables.mixed_table import MixedTable
from interpolants.cli.app import app
from interpolants.foundations.tell import AssumptionWarning
from interpolants.runs.own_files import own_tables

SMALL = ["width=16", "depth=1", "steps=10", "n_steps=3"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("tables")
    days = MixedTable().sample(400, torch.Generator().manual_seed(0))
    days.to_csv(place / "days.csv", index=False)
    days[["rain", "temperature"]].to_csv(place / "gaps.csv", index=False)
    days[["rain", "visitors"]].to_csv(place / "numbers.csv", index=False)
    days.assign(date=days["date"].where(days["rain"] > 0))[["rain", "date"]].to_csv(
        place / "dates.csv", index=False
    )
    return place


@pytest.mark.parametrize(
    ("file", "told"),
    [
        (
            "days.csv",
            r"has words \(season\) and dates \(date\) and missing cells \(temperature\), so that TableBridge",
        ),
        (
            "gaps.csv",
            r"has missing cells \(temperature\), so that TableBridge is fitted, by the recipe my_table",
        ),
        ("dates.csv", r"has dates \(date\) and missing cells \(date\), so that"),
    ],
)
def test_words_dates_and_missing_cells_are_for_a_table_bridge(folder, file, told):
    with pytest.warns(AssumptionWarning, match=told):
        tables = own_tables({"x0": None, "x1": str(folder / file), "cond": None})
    assert tables["method"]["kind"] == "table_bridge"
    assert tables["data"] == {"x1": str(folder / file)}


@pytest.mark.parametrize(
    ("files", "sets"),
    [
        ({"x1": "numbers.csv"}, []),
        ({"x1": "gaps.csv"}, ["data.x1.drop_nan=true"]),
        ({"x1": "days.csv"}, ["method.path=vp"]),
        ({"x1": "gaps.csv", "x0": "numbers.csv"}, []),
        ({"x1": "absent.csv"}, []),
    ],
)
def test_other_files_are_for_a_bridge(folder, files, sets):
    tables = own_tables({role: str(folder / file) for role, file in files.items()}, overrides=sets)
    assert tables["method"]["kind"] == "bridge"


def test_a_run_answers_with_files_like_the_table(folder):
    runner, out = CliRunner(), str(folder / "run")
    sets = [word for setting in SMALL for word in ("--set", f"method.{setting}")]
    with pytest.warns(AssumptionWarning):
        done = runner.invoke(
            app, ["run", "--x1", str(folder / "days.csv"), "--out", out, "--set", "ask=[]", *sets]
        )
    assert done.exit_code == 0, done.output
    days = pd.read_csv(folder / "days.csv")
    assert runner.invoke(app, ["sample", out, "-n", "5", "--out", str(folder / "made.csv")]).exit_code == 0
    made = pd.read_csv(folder / "made.csv")
    assert list(made.columns) == list(days.columns)
    assert made["season"].isin(days["season"]).all()
    days.head(6).assign(season=None).to_csv(folder / "holed.csv", index=False)
    asked = [str(folder / "holed.csv"), "--out", str(folder / "full.csv")]
    assert runner.invoke(app, ["complete", out, *asked]).exit_code == 0
    full = pd.read_csv(folder / "full.csv")
    assert not full.isna().any().any()
    assert full["visitors"].tolist() == days["visitors"].head(6).tolist()
    asked = [str(folder / "days.csv"), "--column", "season", "--out", str(folder / "season.csv")]
    assert runner.invoke(app, ["predict", out, *asked]).exit_code == 0
    chances = pd.read_csv(folder / "season.csv")
    assert sorted(chances.columns) == [f"season_{name}" for name in ("autumn", "spring", "summer", "winter")]
    assert chances.sum(axis=1).to_numpy() == pytest.approx(1)
    days.drop(columns="season").to_csv(folder / "no_season.csv", index=False)
    requested = [str(folder / "no_season.csv"), "--column", "season", "--out", str(folder / "absent.csv")]
    assert runner.invoke(app, ["predict", out, *requested]).exit_code == 0
    pd.testing.assert_frame_equal(pd.read_csv(folder / "absent.csv"), chances)
