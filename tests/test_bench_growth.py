"""The benchmark of growth: rows are copied as it says, limits are kept, and exponents and verdicts are right."""

import json
import sys

import pandas as pd
import pytest
import torch
from benchmarks import growth


def test_rows_are_copies_with_noise_and_the_first_ones_are_left_alone():
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    grown = growth.repeated(x, 10, 1e-3)
    assert grown.shape == (500, 2)
    assert torch.equal(grown[:50], x)
    assert 0.5e-3 < (grown[50:] - x.repeat(9, 1)).std() < 2e-3
    assert torch.equal(growth.repeated(x, 3, 0.0), x.repeat(3, 1))
    assert growth.repeated(["a", "b"], 2, 0.0) == ["a", "b", "a", "b"]


def test_dates_of_a_table_go_on():
    table = pd.DataFrame({"a": [1.0, 2.0, 4.0]}, index=pd.date_range("2020-01-01", periods=3, freq="D"))
    grown = growth.repeated(table, 2, 1e-3)
    assert list(grown.index) == list(pd.date_range("2020-01-01", periods=6, freq="D"))
    assert list(grown["a"][:3]) == [1.0, 2.0, 4.0]
    assert 0 < (grown["a"][3:].to_numpy() - table["a"].to_numpy()).std() < 0.01


COSTS = [("none", 1), ("O(N^3) time, O(N^2) memory", 3), ("per round O(N D^2 + S R^3 m^3)", 1)]
COSTS += [("O(T log T), O(T^3) an iteration", 3), ("O(sum n^3) for groups", 3), ("O(N^2 P)", 2)]


@pytest.mark.parametrize(("cost", "power"), COSTS)
def test_the_power_of_the_rows_is_read_from_the_cost_of_a_card(cost, power):
    assert growth.declared(cost) == power


CHILD = """
import json, sys, time
print(json.dumps({"ready": True}), flush=True)
sys.stdin.readline()
print(json.dumps({"rows": 7, "fit": 0.5}), flush=True)
%s
"""


def child(end):
    return [sys.executable, "-c", CHILD % end]


def test_a_process_that_takes_too_long_is_ended_and_what_it_had_said_is_kept():
    told = growth.measure(child("time.sleep(60)"), seconds=1.0, gib=1.0)
    assert (told["limit"], told["rows"], told["fit"]) == ("time", 7, 0.5)


def test_a_process_that_fails_is_an_error():
    with pytest.raises(RuntimeError, match="ValueError: no"):
        growth.measure(child("raise ValueError('no')"), seconds=30.0, gib=1.0)


@pytest.mark.slow
def test_points_are_measured_once_and_a_fast_growth_is_named(tmp_path):
    said = []
    growth.run(only="climatology", cache=tmp_path, report=said.append)
    assert any(line.startswith("| climatology | 60 / 600 / 6,000 |") for line in said)
    assert said[-1].endswith("none.")
    for k, seconds in ((1, 1e-3), (10, 0.1), (100, 10.0)):
        file = tmp_path / f"climatology-{k}.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"fit": seconds, "before": seconds}))
    said.clear()
    growth.run(only="climatology", cache=tmp_path, report=said.append)
    assert "2.0 / 2.0" in said[-2]
    assert "climatology (N^2.0" in said[-1]


@pytest.mark.slow
def test_a_fit_that_takes_too_much_memory_is_a_row_with_that_limit(tmp_path):
    command = [sys.executable, "-m", "benchmarks.growth", "exact_gp", "10"]
    assert growth.measure(command, seconds=60.0, gib=0.002)["limit"] == "memory"
