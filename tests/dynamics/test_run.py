"""One run of a sampler over a chunk: the step to the mean end point after the last time."""

import torch
from torch.testing import assert_close

from interpolants.dynamics import sample
from interpolants.foundations.gaussian import Gaussian
from interpolants.paths import Linear
from interpolants.problems.gaussian_mixture import GaussianMixture
from interpolants.problems.mixture_bridge import GaussianMixtureBridge

F64 = torch.float64
DATA = GaussianMixture(
    torch.tensor([0.3, 0.7], dtype=F64),
    torch.tensor([[2.0, -1.0], [-1.0, 1.0]], dtype=F64),
    torch.tensor([[[0.5, 0.2], [0.2, 0.4]], [[0.3, -0.1], [-0.1, 0.6]]], dtype=F64),
)
FIELDS = GaussianMixtureBridge(GaussianMixture.from_gaussian(Gaussian((2,)), 2), DATA).fields(Linear())
X = torch.randn(12, 2, dtype=F64, generator=torch.Generator().manual_seed(0))


def test_one_denoising_step_gives_the_mean_end_point():
    result = sample(FIELDS, X, n_steps=1, finish="denoise", time_grid="uniform")
    assert result.nfe == 1
    assert_close(result.x, DATA.mean.expand(12, 2))


def test_two_denoising_steps_are_a_step_and_the_mean_end_point_after_it():
    result = sample(FIELDS, X, n_steps=2, finish="denoise", time_grid="uniform", method="euler")
    half = X + 0.5 * FIELDS.velocity(X, torch.zeros(len(X), dtype=F64))
    assert result.nfe == 2
    assert_close(result.x, FIELDS.denoised(half, torch.full((len(X),), 0.5, dtype=F64)))
