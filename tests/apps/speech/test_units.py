import warnings

import pytest

from interpolants.apps.speech.units import warn_of_size


@pytest.mark.parametrize(("difference", "far"), [(0.011, False), (0.009, True), (99.0, False), (101.0, True)])
def test_differences_that_the_noise_does_not_reach_are_reported(difference, far):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_size("who", 2 * difference, 2.0)
    assert bool(caught) == far
