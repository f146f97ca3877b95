import math

import pytest

from interpolants.reports import sentences
from reports.synthetic import digits, metric, moons


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.12345, "0.123"), (1797, "1,797"), (-2.5, "−2.50"), (0, "0"), (1e-7, "1.00 × 10^−7"), (math.nan, "–")],
)  # fmt: skip
def test_numbers_have_three_digits(value, shown):
    assert sentences.number(value) == shown


@pytest.mark.parametrize(
    ("value", "error", "shown"),
    [(0.12345, 0.0041, "0.1235 ± 0.0041"), (40.21, 0.93, "40.21 ± 0.93"), (1234.5, 120.0, "1,234 ± 120"),
     (0.0222, 1.34e-10, "0.0222 ± 1.3 × 10^−10")],
)  # fmt: skip
def test_an_error_sets_the_place_where_its_value_ends(value, error, shown):
    assert sentences.with_error(value, error) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.42, "0.4 s"), (42, "42 s"), (60, "1 min"), (192, "3 min 12 s"), (3600, "1 h"), (7500, "2 h 5 min")],
)  # fmt: skip
def test_durations_read_as_people_say_them(seconds, shown):
    assert sentences.duration(seconds) == shown


def test_a_ratio_is_rounded_up_so_that_within_is_true():
    assert [sentences.times(r) for r in (1.21, 1.3, 2.0, 14.2)] == ["1.3×", "1.3×", "2.0×", "15×"]


def test_percentages_say_all_and_nothing_only_when_it_is_so():
    shown = [sentences.percent(share) for share in (1.0, 0.9999, 0.5, 0.001, 0.0)]
    assert shown == ["100 %", "99.9 %", "50 %", "under 0.5 %", "0 %"]


def test_a_distance_is_read_against_both_of_its_neighbours():
    assert sentences.reading(metric()) == (
        "Within 1.3× of what two halves of real data give. 7.2× smaller than a Gaussian fit."
    )


def test_a_distance_at_its_floor_is_said_to_be_there():
    assert sentences.reading(metric(value=0.104)).startswith("Within its error of what two halves")
    assert sentences.reading(metric(value=0.095)).startswith("No worse than what two halves")


def test_a_model_that_loses_to_the_baseline_is_said_to():
    assert "Worse than a Gaussian fit." in sentences.reading(metric(value=1.2))
    assert "No better than a Gaussian fit." in sentences.reading(metric(value=0.899))


def test_accuracy_is_a_share_of_what_real_data_reach():
    text = sentences.reading(metric(value=0.9, floor=0.98, baseline=0.1, better="higher", unit=""))
    assert text == "92 % of what real data give. The trivial baseline reaches 0.10 (a Gaussian fit)."


def test_log_densities_are_compared_by_difference():
    text = sentences.reading(
        metric(value=40.0, error=0.5, floor=42.0, baseline=22.0, better="higher", unit="nats")
    )
    assert text == "2.0 nats below what the exact density gives. 18 nats better than a Gaussian fit."


def test_a_number_without_neighbours_stands_alone():
    alone = metric(floor=None, baseline=None)
    assert sentences.reading(alone) == "Neither a sampling floor nor a baseline was measured."
    assert sentences.reading(metric(value=None)) == "Not measured."


def test_the_standing_runs_from_the_baseline_to_real_data_whichever_is_better():
    assert sentences.standing(metric(value=0.9)) == 0
    assert sentences.standing(metric(value=0.1)) == 1
    assert sentences.standing(metric(value=0.5, floor=0.9, baseline=0.1, better="higher")) == pytest.approx(
        0.5
    )
    assert (
        sentences.standing(metric(floor=0.9, baseline=0.1)) is None
    )  # the baseline beats real data: no scale


def test_the_summary_is_built_from_the_numbers():
    text = sentences.summary(
        {"tasks": [digits(), moons()], "seconds": 372.4, "machine": {"cpu": 2, "threads": 2}}
    )
    assert text.startswith("This run learnt 2 bridges in 6 min 12 s with 2 threads.")
    assert "“Digits from noise” generates the digits (1,437 training images) from Gaussian noise." in text
    assert "is 0.1250 ± 0.0040 data units: within 1.3× of what two halves of real data give." in text
    assert "turns two blobs into two moons (1,437 training points), without pairs." in text
    assert text.endswith("Of 6 checks, 4 passed, 1 raised a warning and 1 failed.")


def test_the_best_noise_level_is_named_only_if_the_errors_can_tell():
    rows = [{"eps": 0.0, "sliced_w2": 0.1, "sliced_w2_error": 0.01}, {"eps": 1.0, "sliced_w2": 0.2}]
    assert (
        "closest to held-out data at ε = 0 (0.100) and farthest at ε = 1 (0.200)"
        in sentences.eps_sentence(rows)
    )
    assert "cannot be told apart" in sentences.eps_sentence([rows[0], {"eps": 1.0, "sliced_w2": 0.11}])
    assert sentences.eps_sentence(rows[:1]) == ""


def test_overfitting_is_named_when_training_data_score_higher_than_chance_allows():
    held, train = [0.0, 1.0, 2.0] * 50, [4.0, 5.0, 6.0] * 50
    assert "4.0 nats more: a sign of overfitting" in sentences.likelihood_sentence(train, held, 2)
    assert "(0.500 per dimension)" in sentences.likelihood_sentence(train, held, 2)
    assert "no sign of overfitting" in sentences.likelihood_sentence(held, held, 2)
