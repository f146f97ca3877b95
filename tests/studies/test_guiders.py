import pytest
import torch
from studies.guiders import experiment


@pytest.mark.parametrize("w", [1.0, 3.0])
def test_draws_of_the_tilt_have_its_mean(w, generator):
    x = experiment.tilted(20_000, w, generator)
    classes, everything = experiment.mixtures()
    grid = torch.cartesian_prod(*[torch.linspace(-5, 5, 201, dtype=torch.float64)] * 2)
    weight = (w * classes[0].log_prob(grid) + (1 - w) * everything.log_prob(grid)).exp()
    mean = (weight[:, None] * grid).sum(0) / weight.sum()
    assert ((x.mean(0) - mean).abs() <= 4 * x.std(0) / len(x) ** 0.5).all()


def test_points_on_the_arcs_are_not_off_them():
    x = torch.tensor([[0.0, 1.0], [1.0, -0.5], [0.5, 3.0], [-1.0, -1.0]])
    assert experiment.off_the_arcs(x) == 0.5
