import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.trajectories.data.packs import packed
from interpolants.foundations.errors import InvalidInputError


def parts(*sizes, d=2):
    g = torch.Generator().manual_seed(0)
    return [torch.randn(*size, d, generator=g) for size in sizes]


def test_packed_items_come_back_and_padding_is_not_there():
    given = parts((3,), (5,), (1,))
    pack = packed(given)
    assert pack.values.shape == (3, 5, 2)
    assert pack.present.sum(1).tolist() == [3, 5, 1]
    assert not pack.values[~pack.present].any()
    for part, back in zip(given, pack.unpacked(), strict=True):
        assert torch.equal(part, back)


def test_two_axes_may_differ():
    given = parts((3, 2), (1, 4))
    pack = packed(given, axes=2, fill=torch.nan)
    assert pack.values.shape == (2, 3, 4, 2)
    assert torch.equal(pack.values[..., 0].isfinite(), pack.present)
    assert [tuple(back.shape) for back in pack.unpacked()] == [(3, 2, 2), (1, 4, 2)]


def test_the_mean_is_over_what_is_there():
    given = parts((3,), (5,))
    assert_close(packed(given).mean(), torch.stack([part.mean(0) for part in given]))
    assert_close(packed(given, axes=1, fill=0.0).mean()[0], given[0].mean(0))


@pytest.mark.parametrize("bad", [[], [torch.zeros(2, 3), torch.zeros(2, 4)]])
def test_no_items_and_items_of_other_widths_are_refused(bad):
    with pytest.raises(InvalidInputError, match="item"):
        packed(bad)


def test_the_mean_of_nothing_is_zero():
    assert packed(parts((0,), (2,))).mean()[0].tolist() == [0, 0]
