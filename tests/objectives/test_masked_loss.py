"""The loss of masks: its value by hand, and how often entries are known, noisy or in a box."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.objectives.masked_loss import MaskedLoss, _boxes, entry_times
from interpolants.paths import OneSidedLinear


def source():
    return torch.Generator().manual_seed(3)


def test_it_is_the_weighted_squared_error_of_the_entries_that_are_not_known():
    x0, x1 = (torch.randn(50, 4, generator=torch.Generator().manual_seed(k)) for k in (0, 1))
    t, weights = torch.linspace(0.1, 0.8, 50), torch.tensor([1.0, 2.0, 0.5, 3.0])
    asked = []

    def field(x, times, cond):
        asked.append((x, times))
        return torch.full_like(x, 0.5)

    loss = MaskedLoss(OneSidedLinear(), lambda x, times: {"denoised": weights.expand_as(x)})
    found = loss(field, x0=x0, x1=x1, t=t, generator=source())["denoised"]
    ((state, times),) = asked
    assert_close(times, entry_times(t, x1, levels=False, generator=source()), rtol=0, atol=0)
    assert bool(((times == t[:, None]) | (times == 1)).all())
    assert_close(state, (1 - times) * x0 + times * x1)
    assert_close(found, ((0.5 - x1).square() * weights * (times < 1)).sum(1))


@pytest.mark.parametrize(("levels", "known", "noisy"), [(False, 1 / 4, 0.0), (True, 1 / 4, 1 / 12)])
def test_shares_of_known_and_of_noisy_entries(levels, known, noisy):
    x, t = torch.zeros(20_000, 6), torch.full((20_000,), 0.3)
    times = entry_times(t, x, levels=levels, generator=source())
    between = (times > 0.3) & (times < 1)
    assert float((times == 1).float().mean()) == pytest.approx(known, abs=0.01)
    assert float(between.float().mean()) == pytest.approx(noisy, abs=0.01)
    if (
        not levels
    ):  # half of the rows have a mask, of which each entry is known with a uniform chance: no boxes
        assert float((times == 1).all(1).float().mean()) == pytest.approx(0.5 / 7, abs=0.01)


def is_a_box(part):
    channels, rows, columns = part.any(2).any(1), part.any(2).any(0), part.any(1).any(0)
    return torch.equal(part, channels[:, None, None] & rows[None, :, None] & columns)


def test_boxes_of_images_are_boxes_or_what_is_around_one():
    boxes = _boxes(torch.zeros(400, 2, 5, 7), source())
    assert boxes.shape == (400, 2, 5, 7)
    for box in boxes:
        inside = [box, ~box]
        assert any(
            torch.equal(
                part,
                part.any(2).any(1)[:, None, None] & part.any(2).any(0)[None, :, None] & part.any(1).any(0),
            )
            for part in inside
        )
    kinds = {tuple(box.flatten().tolist()) for box in boxes}
    assert len(kinds) > 100
