"""Calibration errors of predictions whose errors are known."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.metrics.roc import roc
from interpolants.sciml.bayes.metrics.calibration import (
    expected_calibration_error,
    interval_calibration_error,
)

N = 200_000


def test_intervals_of_the_true_distribution_are_calibrated():
    pit = (torch.arange(N, dtype=torch.float64) + 0.5) / N
    assert interval_calibration_error(pit) < 1e-5


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_a_gaussian_of_a_wrong_scale_has_the_error_of_its_intervals(scale):
    normal = torch.distributions.Normal(0.0, 1.0)
    z = normal.icdf((torch.arange(N, dtype=torch.float64) + 0.5) / N)
    levels = (0.5, 0.9)
    # Intervals of N(0, scale^2) reach scale times as far, and hold 2 Phi(scale z) - 1.
    wide = [scale * float(normal.icdf(torch.tensor((1 + level) / 2))) for level in levels]
    shares = [math.erf(z / math.sqrt(2)) for z in wide]
    expected = sum(abs(s - level) for s, level in zip(shares, levels, strict=True)) / 2
    assert_close(interval_calibration_error(normal.cdf(z / scale), levels), expected, atol=1e-4, rtol=0)


def test_error_of_a_few_cases_by_hand():
    """Bins of a half: confidences 0.6, 0.8 and 1.0 with two right answers lie in the upper one."""
    p = torch.tensor([[0.6, 0.4], [0.2, 0.8], [0.0, 1.0]], dtype=torch.float64)
    labels = torch.tensor([0, 1, 0])
    assert_close(expected_calibration_error(p, labels, bins=2), abs(2 / 3 - 0.8))
    # One bin each: 0.4 + 0.2 + 1.0 over three cases.
    assert_close(expected_calibration_error(p, labels, bins=10), 1.6 / 3)


def test_a_certainty_that_was_rounded_up_is_in_the_last_bin():
    p = torch.tensor([[1 + 1e-6, 0.0], [0.0, 1.0], [1.0, 0.0], [0.95, 0.05]], dtype=torch.float64)
    found = expected_calibration_error(p, torch.tensor([0, 1, 0, 1]))
    assert found == pytest.approx(0.95 / 4, rel=1e-5)


def test_labels_drawn_from_the_probabilities_are_calibrated_and_sharpened_ones_are_not():
    g = torch.Generator().manual_seed(0)
    p = torch.softmax(torch.randn(50_000, 3, dtype=torch.float64, generator=g), 1)
    labels = torch.multinomial(p, 1, generator=g)[:, 0]
    assert expected_calibration_error(p, labels) < 0.012
    sharp = torch.softmax(3 * p.log(), 1)
    assert expected_calibration_error(sharp, labels) > 0.15


@pytest.mark.parametrize(
    ("p", "labels", "rule"),
    [
        (torch.full((2, 3), 0.5), torch.tensor([0, 1]), "sum 1"),
        (torch.full((2, 2), 0.5), torch.tensor([0, 2]), r"classes 0 \.\.\. 1"),
        (torch.full((2, 2), 0.5), torch.tensor([0]), r"labels \(N,\)"),
    ],
)
def test_what_is_no_probability_is_refused(p, labels, rule):
    with pytest.raises(InvalidInputError, match=rule):
        expected_calibration_error(p, labels)


def test_values_that_are_no_probabilities_are_refused():
    with pytest.raises(InvalidInputError, match=r"in \[0, 1\]"):
        interval_calibration_error(torch.tensor([0.5, 1.5]))


def test_arrays_are_taken_like_tensors():
    p, labels = (
        torch.softmax(torch.randn(50, 3, generator=torch.Generator().manual_seed(0)), 1),
        torch.arange(50) % 3,
    )
    assert expected_calibration_error(p.numpy(), labels.numpy()) == expected_calibration_error(p, labels)
    assert interval_calibration_error(p[:, 0].numpy()) == interval_calibration_error(p[:, 0])
    assert roc(p[:, 0].numpy(), labels.numpy() == 0).area == roc(p[:, 0], labels == 0).area
