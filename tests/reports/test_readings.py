"""What a score means beside its floor and its rivals."""

import math
from dataclasses import replace

import pytest

from interpolants.framework.scores import Score
from interpolants.reports.readings import at_floor, headline, reading, standing

DISTANCE = Score(
    name="q.w2", value=0.125, error=0.004, better="lower", floor=0.1, floor_error=0.001, unit="data units",
    floor_of="two sets of real data", rivals={"gaussian_fit": 0.9},
)  # fmt: skip


def test_a_distance_is_read_against_both_of_its_neighbours():
    assert reading(DISTANCE) == "1.2× that of two sets of real data. 7.2× smaller than gaussian fit."
    assert headline(DISTANCE) == "7.2× smaller than gaussian fit."


def test_at_the_floor_within_two_errors_of_both_it_is_as_good():
    assert reading(replace(DISTANCE, value=0.108)).startswith("As good as two sets of real data.")
    assert reading(replace(DISTANCE, value=0.02)).startswith("As good as two sets of real data.")
    assert not at_floor(replace(DISTANCE, value=0.1086))
    assert at_floor(replace(DISTANCE, value=0.1086, floor_error=0.01))
    assert headline(replace(DISTANCE, value=0.1)) == "As good as two sets of real data."
    assert (
        reading(replace(DISTANCE, value=0.1, floor_of="", rivals={}))
        == "As good as the best that is possible."
    )


@pytest.mark.parametrize(
    ("value", "gaps", "expected"),
    [
        (1.2, {}, "worse"), (0.899, {}, "same"), (0.5, {}, "better"), (0.899, {"gaussian_fit": 1e-4}, "better"),
        (0.899, {"gaussian_fit": math.nan}, "better"), (0.9, {"gaussian_fit": 0.0}, "same"), (math.nan, {}, "unknown"),
    ],
)  # fmt: skip
def test_a_rival_is_told_apart_by_two_errors_of_the_paired_difference(value, gaps, expected):
    assert standing(replace(DISTANCE, value=value, gaps=gaps), "gaussian_fit") == expected


def test_a_baseline_that_is_as_good_is_said_to_be_before_the_floor():
    beside = replace(DISTANCE, value=0.101, rivals={"gaussian_fit": 0.1, "unchanged": 0.9, "twin": 0.102})
    assert (
        headline(beside) == "No better than gaussian fit and twin, though as good as two sets of real data."
    )
    assert headline(replace(beside, value=0.5)) == "Worse than gaussian fit and twin."
    nearest = replace(DISTANCE, rivals={"far": 0.9, "near": 0.25})
    assert headline(nearest) == "2.0× smaller than near."


def test_who_loses_is_said_to():
    assert "Worse than gaussian fit." in reading(replace(DISTANCE, value=1.2))
    assert "No better than gaussian fit." in reading(replace(DISTANCE, value=0.899))


def test_accuracy_is_a_share_of_what_real_data_reach():
    accuracy = replace(
        DISTANCE, value=0.9, floor=0.98, better="higher", unit="", floor_of="real data", rivals={"guess": 0.1}
    )
    assert reading(accuracy) == "92 % of real data. 9.0× larger than guess."


def test_log_densities_and_what_crosses_zero_are_compared_by_difference():
    density = replace(
        DISTANCE, value=40.0, error=0.5, floor=42.0, better="higher", unit="nats", floor_of="the exact density",
        rivals={"fit": 22.0},
    )  # fmt: skip
    assert reading(density) == "2 nats below the exact density. 18 nats better than fit."
    energy = replace(DISTANCE, floor=-0.02, floor_error=0.01, rivals={})
    assert reading(energy) == "0.14 data units above two sets of real data."
    noise = replace(DISTANCE, floor=0.001, floor_error=0.01, rivals={})  # a floor that may be zero: no ratio
    assert reading(noise) == "0.12 data units above two sets of real data."


def test_without_neighbours_or_direction_there_is_nothing_to_say():
    alone = Score(name="q.x", value=1.5)
    assert reading(alone) == headline(alone) == ""
    assert reading(replace(alone, value=math.inf)) == "Not a finite number."
    middle = replace(alone, value=0.2, error=0.01, floor=0.5, floor_of="fresh rows")
    assert reading(middle) == "0.30 below fresh rows."
    assert reading(replace(middle, value=0.49)) == "As for fresh rows, within its error."
