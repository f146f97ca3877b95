"""The seam score: steps of known height."""

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.metrics import seam_score


def test_a_step_of_known_height_beside_unit_steps():
    real = torch.arange(8.0).expand(20, 8) + torch.randn(20, 1, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([0, 0, 1, 1, 1, 0, 0, 0])
    filled = real + 2.0 * (
        mask == 0
    )  # at the left edge the step shrinks from 1 to -1, at the right one it is 3
    assert seam_score(real, real, mask=mask).value == pytest.approx(1.0)
    assert seam_score(filled, real, mask=mask).value == pytest.approx((1 + 3) / 2)


def test_channels_of_pictures_are_no_neighbours():
    pictures = torch.randn(10, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    pictures[:, 1] += 100.0
    mask = torch.zeros(2, 4, 4)
    mask[:, :, :2] = 1
    assert 0.5 < seam_score(pictures, pictures.flip(0), mask=mask).value < 2
    with pytest.raises(InvalidInputError, match="must have an edge"):
        seam_score(pictures, pictures, mask=torch.stack([torch.ones(4, 4), torch.zeros(4, 4)]))


@pytest.mark.parametrize("sizes", [(30, 300), (300, 30)])
def test_the_error_is_the_spread_over_repetitions(sizes):
    source, mask = torch.Generator().manual_seed(1), torch.tensor([0, 0, 1, 1])

    def score():
        filled, real = (torch.randn(n, 4, generator=source) for n in sizes)
        return seam_score(2 * filled, real, mask=mask)

    found = [score() for _ in range(300)]
    spread = float(torch.tensor([one.value for one in found]).std())  # to 4%
    assert sum(one.error for one in found) / 300 == pytest.approx(spread, rel=0.15)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InvalidInputError, match="mask must have shape"):
        seam_score(torch.randn(3, 4), torch.randn(3, 4), mask=torch.ones(5))
    with pytest.raises(InvalidInputError, match="must change"):
        seam_score(torch.randn(3, 4), torch.ones(3, 4), mask=torch.tensor([1, 1, 0, 0]))
