"""Array helpers against plain loops and known shapes."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.ops import batch_time, expand_like, mean_event, sum_event, time_dtype


@pytest.mark.parametrize("event", [(), (3,), (2, 3), (1, 4, 4)])
def test_widened_times_scale_each_row_by_its_own_time(event, generator):
    x = torch.randn(5, *event, generator=generator)
    t = torch.rand(5, generator=generator)
    assert_close(expand_like(t, x) * x, torch.stack([time * row for time, row in zip(t, x, strict=True)]))


def test_a_scalar_time_is_passed_through_untouched():
    t = torch.tensor(0.25)
    assert expand_like(t, torch.zeros(5, 2)) is t


def test_a_batch_as_long_as_the_event_is_not_confused_with_it():
    # (3,) broadcast against (3, 3) without widening would scale columns instead of rows.
    t = torch.tensor([1.0, 2.0, 3.0])
    assert_close(expand_like(t, torch.ones(3, 3)) * torch.ones(3, 3), t[:, None].expand(3, 3))


@pytest.mark.parametrize("t", [0.25, torch.tensor(0.25), torch.full((4,), 0.25)])
def test_one_time_per_row(t):
    x = torch.zeros(4, 2)
    assert_close(batch_time(t, x), torch.full((4,), 0.25))


def test_a_number_is_not_rounded_to_float32_beside_float64_states():
    x = torch.zeros(2, 1, dtype=torch.float64)
    assert batch_time(0.1, x).tolist() == [0.1, 0.1]


def test_a_broadcast_time_costs_no_memory():
    assert batch_time(0.5, torch.zeros(1000, 1)).stride() == (0,)


@pytest.mark.parametrize(
    ("state", "time"),
    [
        (torch.float64, torch.float64),
        (torch.float32, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
    ],
)
def test_times_keep_at_least_single_precision(state, time):
    x = torch.zeros(1, dtype=state)
    assert time_dtype(x) == time
    assert batch_time(0.5, x).dtype == time


@pytest.mark.parametrize("event", [(), (3,), (2, 3)])
def test_sums_and_means_over_the_event(event, generator):
    x = torch.randn(4, *event, generator=generator, dtype=torch.float64)
    assert_close(sum_event(x), torch.stack([row.sum() for row in x]))
    assert_close(mean_event(x), torch.stack([row.mean() for row in x]))
