"""Settings of a training are numbers where numbers are asked for."""

import numpy as np
import pytest

from interpolants.training import TrainSettings


@pytest.mark.parametrize("name", ["steps", "batch_size", "lr", "ema"])
@pytest.mark.parametrize("value", ["1", True, b"1"])
def test_text_and_truth_values_are_no_numbers(name, value):
    with pytest.raises(ValueError, match=f"^TrainSettings: {name} must (be a whole number|lie in)"):
        TrainSettings(**{name: value})


def test_numbers_of_numpy_count():
    made = TrainSettings(steps=np.int64(3), lr=np.float32(0.5))
    assert (made.steps, made.lr) == (3, 0.5)
