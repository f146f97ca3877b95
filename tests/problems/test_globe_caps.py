import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.problems import GlobeCaps
from interpolants.spaces import LatitudeLongitude


def test_the_density_integrates_to_one_and_has_the_moments_of_the_samples():
    lat = torch.linspace(-90, 90, 361, dtype=torch.float64)
    lon = torch.linspace(-180, 180, 721, dtype=torch.float64)[:-1]
    grid = torch.stack([part.flatten() for part in torch.meshgrid(lat, lon, indexing="ij")], -1)
    mass = GlobeCaps().log_prob(grid).exp() * 0.5 * 0.5
    assert math.isclose(float(mass.sum()), 1.0, abs_tol=1e-4)
    code = LatitudeLongitude(unit="degrees")
    samples = GlobeCaps().sample(50_000, generator=torch.Generator().manual_seed(0))
    points = code.encode(samples.double())
    assert_close(points.mean(0), mass @ code.encode(grid), atol=0.015, rtol=0)
    cap = code.encode(torch.tensor([[90.0, 0.0]], dtype=torch.float64))[0]
    near = (points @ cap > 0.9).double().mean()
    assert_close(near, mass[code.encode(grid) @ cap > 0.9].sum(), atol=0.01, rtol=0)


def test_one_cap_has_the_mean_of_langevin():
    samples = GlobeCaps(centres=[(0.0, 180.0)], kappa=[5.0]).sample(
        50_000, generator=torch.Generator().manual_seed(1)
    )
    cosine = -LatitudeLongitude(unit="degrees").encode(samples.double())[:, 0]
    assert_close(
        cosine.mean(), torch.tensor(1 / math.tanh(5.0) - 1 / 5.0, dtype=torch.float64), atol=4e-3, rtol=0
    )
    assert float(samples[:, 1].min()) < -170 < 170 < float(samples[:, 1].max())


def test_centres_must_be_places_with_a_concentration_each():
    with pytest.raises(InvalidInputError, match=r"for each of the 1 entries of kappa, got \(2, 2\)"):
        GlobeCaps(centres=[(0.0, 0.0), (1.0, 1.0)], kappa=[1.0])
    with pytest.raises(InvalidInputError, match="latitudes of at most 90"):
        GlobeCaps(centres=[(100.0, 0.0)], kappa=[1.0])
