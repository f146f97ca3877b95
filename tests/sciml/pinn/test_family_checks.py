import warnings

import pytest

from interpolants.foundations.tell import OutsideWarning
from interpolants.sciml.pinn.family_checks import warn_of_counts


def test_the_first_number_of_sensors_that_no_training_had_is_named():
    with pytest.warns(OutsideWarning, match="the training had 3 to 6 sensors, got 2;"):
        warn_of_counts([3, 2, 6, 9], (3, 6))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_counts([3, 6], (3, 6))
