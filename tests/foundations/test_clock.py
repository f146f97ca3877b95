"""Times that know their numbers."""

import numpy as np
import pytest
import torch

from interpolants.foundations.clock import clock, number_of

TIMES = np.array([0.0, 0.1, 1 / 3, 1.0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_number_is_the_one_in_the_tensor(dtype):
    """In the tensor's own precision: what is looked up by it must be found whoever made the time."""
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    for tick, time in zip(clock(TIMES, torch.zeros(2, 3, dtype=dtype)), TIMES, strict=True):
        assert tick.ndim == 0
        assert tick.dtype == wide
        assert number_of(tick) == float(tick) == float(torch.tensor(time, dtype=wide))


def test_a_time_made_from_another_is_read():
    tick = clock(TIMES, torch.zeros(2, 3))[1]
    for made in (tick.clone(), tick + 0.5, tick.clamp(0.2, 0.8), torch.tensor(0.7)):
        assert number_of(made) == float(made)


def test_a_marked_time_is_not_read():
    """A read would stall an accelerator; a tensor without storage cannot be read at all."""
    tick = clock(TIMES, torch.zeros(2, 3, device="meta"))[2]
    assert tick.is_meta
    assert number_of(tick) == float(torch.tensor(TIMES[2], dtype=torch.float32))
