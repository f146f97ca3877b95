import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.weather import FramePersistence, MotionExtrapolation
from interpolants.apps.weather.motion import carried, motion
from interpolants.apps.weather.problems.advected_blobs import AdvectedBlobs
from interpolants.foundations.errors import InvalidInputError

ROUND = ("periodic", "periodic")


def blobs(n=4, frames=7, **settings):
    """Blobs that nearly all live on, in a wind of whole cells."""
    problem = AdvectedBlobs(life=400, births=0.02, frames=frames, **settings)
    return problem.sample(n, generator=torch.Generator().manual_seed(0))


def test_fields_are_carried_by_whole_cells_and_linearly_between():
    x = torch.arange(20.0, dtype=torch.float64).reshape(1, 1, 4, 5)
    shift = torch.zeros(1, 2, 4, 5, dtype=torch.float64)
    shift[:, 0], shift[:, 1] = 1.0, -2.0
    assert_close(carried(x, shift, ROUND), x.roll((1, -2), (-2, -1)))
    half = torch.zeros_like(shift)
    half[:, 1] = 0.5
    expected = (x + torch.cat([x[..., :1], x[..., :-1]], -1)) / 2  # the border goes on
    assert_close(carried(x, half, ("border", "border")), expected)


@pytest.mark.parametrize("wind", [(1.0, 2.0), (-0.5, 1.5)])
def test_motion_is_that_of_the_wind(wind):
    x = blobs(wind=wind)
    v = motion(x[:, :4, None], ROUND)
    assert_close(v, torch.tensor(wind, dtype=x.dtype)[:, None, None].expand_as(v), rtol=0, atol=0.35)
    assert_close(v.mean((0, 2, 3)), torch.tensor(wind, dtype=x.dtype), rtol=0, atol=0.08)


def test_what_is_hidden_and_empty_tells_no_motion():
    """One blob in a field that is empty elsewhere: to hide far columns of it changes nothing."""
    line = torch.arange(40, dtype=torch.float64)
    steps = 8 + 1.5 * torch.arange(4.0, dtype=torch.float64)
    across = torch.exp(-(line - steps[:, None]).square() / 8)
    x = (torch.exp(-(line[:24] - 12).square() / 8)[:, None] * across[:, None])[None, :, None]
    hidden = x.clone()
    hidden[..., 28:36] = torch.nan
    v, same = (motion(frames, ("border", "border")) for frames in (x, hidden))
    assert_close(v[0, :, 12, 12], torch.tensor([0.0, 1.5], dtype=torch.float64), rtol=0, atol=0.1)
    assert_close(same[0, :, 8:17, :20], v[0, :, 8:17, :20], rtol=0, atol=0.05)


@pytest.mark.parametrize("flow", ["least_squares", "tvl1"])
def test_extrapolation_is_much_better_than_persistence_where_all_moves(flow):
    if flow == "tvl1":
        pytest.importorskip("skimage")
    x = blobs()
    given = {"past": 4, "future": 3}
    flowing = MotionExtrapolation(flow=flow, edges=list(ROUND), **given).fit(x).forecast(x[:, :4], members=2)
    still = FramePersistence(**given).fit(x).forecast(x[:, :4])
    assert flowing.x.shape == (4, 2, 3, 1, 32, 32)
    own, other = ((one.x[:, 0, :, 0] - x[:, 4:]).abs().mean() for one in (flowing, still))
    assert own < 0.35 * other


def test_persistence_repeats_the_last_frame_or_that_of_a_season_ago():
    x = torch.arange(6.0)[None, :, None, None].expand(1, 6, 4, 4)
    last = FramePersistence(past=5, future=2).fit(x).forecast(x)
    assert last.x[0, 0, :, 0, 0, 0].tolist() == [5.0, 5.0]
    ago = FramePersistence(past=5, future=2, season=4).fit(x).forecast(x)
    assert ago.x[0, 0, :, 0, 0, 0].tolist() == [2.0, 3.0]
    with pytest.raises(InvalidInputError, match="season"):
        FramePersistence(past=5, future=2, season=6)


def test_motion_from_a_single_frame_is_refused():
    with pytest.raises(InvalidInputError, match="One frame tells no motion"):
        MotionExtrapolation(past=1, flow="tvl1")
