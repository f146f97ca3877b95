"""The slope of log-likelihood against the logarithm of the noise."""

import math

import pytest

from interpolants.foundations.errors import InvalidInputError
from interpolants.metrics import codimension_slope


def test_two_levels_give_the_difference_over_the_logarithm():
    found = codimension_slope([0.1, 0.05], [1.0, 1.0 + 2 * math.log(2)])
    assert found.value == pytest.approx(2.0)
    assert math.isnan(found.error)
    assert found.levels == pytest.approx((0.05, 0.1))


def test_a_line_is_found_and_its_scatter_is_the_error():
    levels = [0.01, 0.02, 0.04, 0.08]
    line = [-3 * math.log(s) + 5 for s in levels]
    exact = codimension_slope(levels, line)
    assert exact.value == pytest.approx(3.0)
    assert exact.error == pytest.approx(0.0, abs=1e-9)
    assert exact.local == pytest.approx((3.0, 3.0, 3.0))
    # residuals (1, -1, -1, 1)/10 are orthogonal to a line: the slope stays, the error is sqrt(0.04/2/Sxx)
    bent = codimension_slope(levels, [y + r for y, r in zip(line, (0.1, -0.1, -0.1, 0.1), strict=True)])
    assert bent.value == pytest.approx(3.0)
    assert bent.error == pytest.approx(math.sqrt(0.04 / 2 / (5 * math.log(2) ** 2)))
    assert str(bent).startswith("codimension 3 ± 0.091 between noise 0.01 and 0.08")


@pytest.mark.parametrize(
    ("levels", "values", "message"),
    [
        ([0.1], [1.0], "the same length, at least 2"),
        ([0.1, 0.2], [1.0], "must have the same length, at least 2"),
        ([0.1, 0.0], [1.0, 2.0], "levels must be distinct, finite and > 0"),
        ([0.1, 0.1], [1.0, 2.0], "levels must be distinct"),
        ([0.1, 0.2], [1.0, math.inf], "log-likelihoods must be finite"),
    ],
)
def test_bad_input_is_refused(levels, values, message):
    with pytest.raises(InvalidInputError, match=message):
        codimension_slope(levels, values)
