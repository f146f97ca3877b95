"""Windows, gaps, axes, and extrapolation by fixed weights."""

import pandas
import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.trajectories import TrackExtrapolation
from interpolants.apps.trajectories.anchors import last_frame, least_squares
from interpolants.apps.trajectories.data.tracks import Tracks, tracks_of_table
from interpolants.apps.trajectories.track_windows import (
    TrackUnits,
    all_windows,
    filled_frames,
    last_frames,
    principal_axes,
)
from interpolants.apps.trajectories.training_tracks import told
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import OutsideWarning
from interpolants.framework.answers import Ensemble


def motion(power=1, n=6, frames=9):
    """Nodes on straight lines, or on parabolas."""
    g = torch.Generator().manual_seed(0)
    terms = [torch.randn(n, 1, 2, 3, dtype=torch.float64, generator=g) for _ in range(power + 1)]
    t = torch.arange(frames, dtype=torch.float64)[None, :, None, None]
    return sum(term * t**k for k, term in enumerate(terms))


@pytest.mark.parametrize(("weights", "power"), [("velocity", 1), ("least_squares", 1), ("least_squares", 2)])
def test_extrapolation_meets_what_it_can(weights, power):
    x = motion(power)
    rival = TrackExtrapolation(weights=weights, context=4, horizon=5).fit(x[:5])
    found = rival.forecast(x[5:, :4]).x[:, 0]
    assert_close(found, x[5:, 4:], atol=1e-5, rtol=0)


def test_the_last_frame_stays():
    x = motion()
    found = TrackExtrapolation(weights="last", context=4, horizon=2).fit(x).forecast(x[:, :4], members=3)
    assert found.x.shape == (6, 3, 2, 2, 3)
    assert torch.equal(found.x[:, 2, 1], x[:, 3])


def test_constant_velocity_misses_a_parabola_as_it_should():
    """x = t^2 from frames 2 and 3: 9 + 5 at frame 4, 16 came."""
    x = (torch.arange(6, dtype=torch.float64) ** 2).reshape(1, 6, 1, 1)
    found = TrackExtrapolation(context=4, horizon=1).fit(x).forecast(x[:, :4]).x
    assert found.flatten().tolist() == [14.0]


@pytest.mark.parametrize("weights", ["velocity", "least_squares"])
def test_a_node_that_the_last_frames_do_not_show_goes_on_with_its_last_step(weights):
    """Straight lines; a node that one frame alone shows stays there."""
    g = torch.Generator().manual_seed(0)
    start, step = (torch.randn(6, 1, 3, 2, dtype=torch.float64, generator=g) for _ in range(2))
    frames = torch.arange(11, dtype=torch.float64)[None, :, None, None]
    x = start + frames * step
    model = TrackExtrapolation(weights=weights, context=6, horizon=5).fit(x)
    given = x[:, :6].clone()
    given[0, 5, 0], given[1, 2:, 1], given[2, 1:, 2] = torch.nan, torch.nan, torch.nan
    found = model.forecast(given).x[:, 0]
    wanted = x[:, 6:].clone()
    wanted[2, :, 2] = x[2, 0, 2]
    assert_close(found, wanted, atol=1e-9, rtol=0)


def test_gaps_are_filled_by_straight_lines_and_ends_stay():
    x = torch.tensor([0.0, 9.0, 9.0, 6.0, 9.0]).double().reshape(1, 5, 1, 1)
    seen = torch.tensor([True, False, False, True, False]).reshape(1, 5, 1)
    assert filled_frames(x, seen).flatten().tolist() == [0.0, 2.0, 4.0, 6.0, 6.0]
    late = torch.tensor([False, False, True, False, False]).reshape(1, 5, 1)
    assert filled_frames(x, late).flatten().tolist() == [9.0] * 5
    assert not filled_frames(x, torch.zeros_like(seen)).any()


@pytest.mark.parametrize("size", [0.0, 1e-156])
def test_tracks_that_do_not_move_or_less_than_numbers_tell_repeat_their_last_frame(size):
    windows = all_windows(Tracks.of(size * motion()), 4, 3)
    assert_close(least_squares(windows), last_frame(4, 3))


def test_home_is_where_the_centre_of_the_last_given_frame_lies():
    """About the mean position of the training, in units of the network."""
    given = motion(frames=3)
    present, types = torch.ones(6, 3, 2, dtype=torch.bool), torch.zeros(6, 2, dtype=torch.long)
    centre = TrackUnits().centre(given, present)
    units = TrackUnits(scale=2.0, home=centre[0, 0, 0])
    found = told(given, present, types, centre, units, torch.float64)
    assert_close(found["home"], (given[:, -1].mean(1) - given[:1, -1].mean(1)) / 2)
    assert_close(found["given"][:, -1].mean(1), torch.zeros(6, 3, dtype=torch.float64))


def test_windows_begin_where_their_track_is():
    x = motion()[:1].clone()
    x[0, 7:] = torch.nan
    windows = all_windows(Tracks.of(x), 3, 2)
    assert len(windows) == 4  # starts 0 to 3: the last has one frame of its future
    assert windows.seen.flatten(1).any(1).all()
    assert not windows.seen[3, 1].any()
    with pytest.raises(InvalidInputError, match="at least 12 frames"):
        all_windows(Tracks.of(x), 10, 2)


def test_last_frames_end_at_each_cases_end():
    x = motion(n=2)
    x[1, 4:] = torch.nan
    found = last_frames(Tracks.of(x), 3)
    assert torch.equal(found.x[0], x[0, 6:])
    assert torch.equal(found.x[1], x[1, 1:4])
    with pytest.warns(
        OutsideWarning, match="2 of 2 cases begin within the 3 frames.*case 0 shows its last 2"
    ):
        short = last_frames(Tracks.of(x[:, :2]), 3)
    assert short.seen[:, :, 0].tolist() == [[False, True, True]] * 2


def test_a_node_that_begins_later_than_its_case_is_named():
    x = motion(n=2)
    x[1, :7, 1] = torch.nan
    with pytest.warns(
        OutsideWarning, match="1 nodes begin within the 3 .*; node 1 of case 1 shows its last 2"
    ):
        last_frames(Tracks.of(x), 3)
    last_frames(Tracks.of(x), 2)  # two frames are shown: no warning, which would be an error here
    x[1, :, 1] = torch.nan
    last_frames(Tracks.of(x), 3)  # a node that is never seen has no forecast


def test_axes_turn_with_the_frames():
    g = torch.Generator().manual_seed(1)
    x = torch.randn(5, 4, 3, 3, dtype=torch.float64, generator=g)
    seen = torch.ones(5, 4, 3, dtype=torch.bool)
    seen[0, 1, 2] = False
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=g))[0]
    assert_close(principal_axes(x @ turn.T + 3.0, seen), turn @ principal_axes(x, seen), atol=1e-10, rtol=0)
    flat = principal_axes(torch.zeros(1, 4, 1, 2, dtype=torch.float64), torch.ones(1, 4, 1, dtype=torch.bool))
    assert_close(flat[0] @ flat[0].T, torch.eye(2, dtype=torch.float64))


def test_forecasts_of_a_table_have_the_names_of_its_tracks_and_nodes():
    rows = [(name, j, node, k + j, node) for j in range(3) for k, name in enumerate("BA") for node in (9, 4)]
    table = pandas.DataFrame(rows, columns=["track", "frame", "node", "x", "y"]).sample(
        frac=1, random_state=3
    )
    model = TrackExtrapolation(context=3, horizon=2).fit(tracks_of_table(table))
    found = model.forecast(table).table()
    assert list(found.index.names) == ["case", "member", "frame", "node"]
    for name, start in (("B", 0), ("A", 1)):
        for node in (4, 9):
            for ahead in (1, 2):  # each moves by 1 a frame
                assert found.loc[name, 0, ahead, node].tolist() == [start + 2 + ahead, node]
    tracks = tracks_of_table(table)
    assert tracks[[1]].cases == tracks.cases[1:]
    assert len(tracks[:1].cases) == 1
    answer = model.forecast(tracks)
    assert (
        Ensemble.joined([answer.rows(slice(0, 1)), answer.rows(slice(1, 2))]).table().equals(answer.table())
    )


def test_a_table_without_rows_is_refused():
    with pytest.raises(InvalidInputError, match="must have rows"):
        tracks_of_table(pandas.DataFrame({"track": [], "frame": [], "x": []}))


@pytest.mark.parametrize(
    "name", ["lat", "Longitude", "lng", "lats", "lat_deg", "lon (degrees)", "latitude_degrees_north"]
)
def test_degrees_are_no_lengths(name):
    table = pandas.DataFrame({"track": [0, 0], "frame": [0, 1], "y": [0.0, 1.0], name: [0.0, 1.0]})
    with pytest.raises(InvalidInputError, match="positions must be lengths"):
        tracks_of_table(table)
    assert tracks_of_table(table.rename(columns={name: "lateral"})).columns == ("y", "lateral")


def test_one_frame_of_one_node_has_the_size_of_the_steps_that_follow():
    """Such a frame lies at its centre: its size is 0, which had left the units of the data."""
    steps = torch.randn(200, 5, 1, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for unit in (1e-6, 1.0, 1e6):
        windows = all_windows(Tracks.of(1e3 * unit + unit * steps.cumsum(1)), 1, 4)
        assert_close(TrackUnits.fit(windows, 1).scale / unit, 2.5**0.5, rtol=0.1, atol=0)
