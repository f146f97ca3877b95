import pytest
import torch

from interpolants.apps.trajectories import (
    GeometricDiffusion,
    TrackDisplacement,
    TrackExtrapolation,
    TrackSymmetry,
)
from interpolants.apps.trajectories.data.tracks import Tracks
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.questions import ask
from interpolants.framework.task import Split, Task

SMALL = {"context": 4, "horizon": 3, "width": 8, "blocks": 1, "steps": 5, "batch_size": 8, "n_steps": 3}


def task(columns=("x", "y")):
    t = torch.arange(8, dtype=torch.float64)[None, :, None, None]
    g = torch.Generator().manual_seed(0)
    start, speed = (torch.randn(20, 1, 2, 2, dtype=torch.float64, generator=g) for _ in range(2))
    tracks = Tracks.of(start + speed * t + 0.05 * t**2, columns=columns)
    rival = TrackExtrapolation(context=4, horizon=3)
    return Task.of(rival.roles(), {"tracks": tracks}, Split(test=5)), rival


def test_errors_of_constant_velocity_are_those_by_hand_and_paired():
    """Of ``0.05 t^2`` in both dimensions: a gap of 0.05 k (k + 1) in each, k frames ahead."""
    whole, rival = task()
    last = TrackExtrapolation(weights="last", context=4, horizon=3)
    found = ask(TrackDisplacement(context=4, horizon=3), whole.fit(rival), whole, [last])
    gaps = [0.05 * k * (k + 1) * 2**0.5 for k in (1, 2, 3)]
    assert found["ade"].value == pytest.approx(sum(gaps) / 3)
    assert found["fde"].value == pytest.approx(gaps[-1])
    assert found["min_ade"].value == pytest.approx(sum(gaps) / 3)
    assert found["ade"].rivals["track_extrapolation"] > found["ade"].value
    assert found["ade"].gaps["track_extrapolation"] > 0
    assert [figure.name for figure in found.figures] == ["tracks", "error_by_frame"]


def test_padded_cases_count_where_they_were_seen():
    whole, rival = task()
    x = whole.values["tracks"].with_gaps()
    x[:, 5:, 1] = torch.nan
    x[whole.rows["row"]["test"][0], :4] = torch.nan
    other = Task.of(rival.roles(), {"tracks": Tracks.of(x)}, Split(test=5))
    found = ask(TrackDisplacement(context=4, horizon=3), other.fit(rival), other)
    assert found["ade"].n == 4


def test_averages_turn_exactly_and_a_control_does_not():
    whole, rival = task()
    control = GeometricDiffusion(**SMALL, symmetry="none")
    found = ask(TrackSymmetry(context=4, cases=3), whole.fit(rival), whole, [control])
    assert found["gap"].value < 1e-12
    assert found["gap"].rivals["geometric_diffusion"] > 1e-3
    model = whole.fit(GeometricDiffusion(**SMALL))
    own = ask(TrackSymmetry(context=4, cases=3), model, whole)
    assert own["gap"].value < 1e-4
    assert own["gap_exact"].value < 1e-10


def test_test_tracks_that_are_too_short_are_refused():
    whole, rival = task()
    with pytest.raises(InvalidInputError, match="test tracks must have 9 frames"):
        ask(TrackDisplacement(context=4, horizon=5), whole.fit(rival), whole)
