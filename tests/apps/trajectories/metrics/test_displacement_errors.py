import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.trajectories.metrics.displacement_errors import displacement
from interpolants.foundations.errors import InvalidInputError


def test_errors_by_hand():
    truth = torch.zeros(1, 2, 1, 2)
    members = torch.zeros(1, 2, 2, 1, 2)
    members[0, 0, :, 0, 0] = torch.tensor([3.0, 6.0])
    members[0, 0, :, 0, 1] = torch.tensor([4.0, 8.0])  # distances 5 and 10
    members[0, 1, :, 0, 0] = torch.tensor([1.0, 1.0])
    found = displacement(members, truth)
    expected = {"average": 4.25, "final": 5.5, "least_average": 1.0, "least_final": 1.0}
    for name, value in expected.items():
        assert_close(getattr(found, name), torch.tensor([value], dtype=torch.float64))
    assert_close(found.by_frame, torch.tensor([[3.0, 5.5]], dtype=torch.float64))


def test_the_energy_score_is_least_for_the_true_spread_and_the_displacement_error_for_none():
    g = torch.Generator().manual_seed(0)
    truth = torch.randn(400, 4, 2, 3, dtype=torch.float64, generator=g)
    noise = torch.randn(400, 8, 4, 2, 3, dtype=torch.float64, generator=g)
    by_spread = {spread: displacement(spread * noise, truth) for spread in (0.0, 0.5, 1.0, 1.5)}
    energies = {spread: float(found.energy.mean()) for spread, found in by_spread.items()}
    assert min(energies, key=energies.get) == 1.0
    averages = {spread: float(found.average.mean()) for spread, found in by_spread.items()}
    assert min(averages, key=averages.get) == 0.0
    same = displacement(noise[:, :1].expand(-1, 8, -1, -1, -1), truth)
    alone = displacement(noise[:, :1], truth)
    assert_close(same.energy, alone.energy)


def test_padding_counts_for_nothing_and_the_last_frame_is_the_last_seen():
    truth = torch.zeros(1, 3, 2, 2)
    members = torch.full((1, 1, 3, 2, 2), 100.0)
    seen = torch.tensor([[[True, False], [True, False], [False, False]]])
    members[0, 0, 0, 0], members[0, 0, 1, 0] = torch.tensor([1.0, 0]), torch.tensor([0, 3.0])
    members[0, 0, :, 1] = torch.nan  # no forecast of what is not there
    found = displacement(members, truth, seen)
    assert float(found.average) == 2.0
    assert float(found.final) == 3.0
    assert float(found.energy) == pytest.approx(5.0**0.5)  # of distances 1 and 3
    assert found.by_frame[0, :2].tolist() == [1.0, 3.0]


def test_shapes_and_missing_forecasts_are_refused():
    with pytest.raises(InvalidInputError, match="shapes must be"):
        displacement(torch.zeros(2, 1, 3, 1, 2), torch.zeros(2, 3, 2))
    with pytest.raises(InvalidInputError, match="must have a forecast"):
        displacement(torch.full((1, 1, 1, 1, 2), torch.nan), torch.zeros(1, 1, 1, 2))


def test_the_energy_score_of_tracks_far_from_zero_is_that_of_tracks_near_it():
    source = torch.Generator().manual_seed(0)
    truth = torch.randn(3, 6, 2, 2, generator=source, dtype=torch.float64)
    members = truth[:, None] + 0.1 * torch.randn(3, 40, 6, 2, 2, generator=source, dtype=torch.float64)
    near, far = displacement(members, truth).energy, displacement(members + 5e6, truth + 5e6).energy
    torch.testing.assert_close(far, near, rtol=1e-6, atol=0)
