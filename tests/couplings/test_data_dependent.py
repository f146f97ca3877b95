"""Couplings that make x0 from x1: the distribution of x0 given x1, and the bridge of a Gaussian vector that follows."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.couplings import Degraded, InPainting, SuperResolution
from interpolants.dynamics import sample
from interpolants.fields import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.paths import Linear, ZeroEnvelope

COVARIANCE = torch.tensor(
    [[1.0, 0.6, 0.3, -0.2], [0.6, 1.5, 0.4, 0.5], [0.3, 0.4, 0.8, 0.1], [-0.2, 0.5, 0.1, 1.2]],
    dtype=torch.float64,
)
FOUR = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)


def gaussian(n, generator):
    z = torch.randn(n, 4, dtype=torch.float64, generator=generator)
    return z @ torch.linalg.cholesky(COVARIANCE).T


def covariance(x):
    """Covariance and its standard errors, those of a Gaussian."""
    found = x.T.cov()
    error = ((found.diagonal()[:, None] * found.diagonal() + found.square()) / len(x)).sqrt()
    return found, error


COUPLINGS = {
    "in_painting": (
        InPainting(mask="lower", share=0.5, noise=0.7),
        [1.0, -2.0, 0.0, 0.0],
        [0.0, 0.0, 0.7, 0.7],
    ),
    "super_resolution": (SuperResolution(factor=2, noise=0.4), [-0.5, -0.5, 1.75, 1.75], [0.4] * 4),
    "degraded": (Degraded(lambda x: 2 * x + 1, noise=0.3), [3.0, -3.0, 2.0, 7.0], [0.3] * 4),
}


@pytest.mark.parametrize("name", COUPLINGS)
def test_mean_and_variance_of_the_start_given_its_end(name, generator):
    coupling, mean, deviation = COUPLINGS[name]
    n = 20_000
    x1 = FOUR.expand(n, 4)
    pairs = coupling.pair(x1, x1, generator=generator)
    sigma = torch.tensor(deviation, dtype=torch.float64)
    off = (pairs.x0.mean(0) - torch.tensor(mean, dtype=torch.float64)).abs()
    assert (off <= 4 * sigma / n**0.5 + 1e-12).all()
    assert (pairs.x0.var(0).sqrt() - sigma).abs().le(4 * sigma / (2 * n) ** 0.5 + 1e-12).all()
    # The end is left as it is: its marginal distribution cannot change.
    assert torch.equal(pairs.x1, x1)
    assert torch.equal(pairs.index1, torch.arange(n))


def test_the_velocity_of_in_painting_carries_noise_to_the_conditional_distribution(generator):
    """Exact in blocks: given the known half k, the hidden one is N(A k, S), and the start N(0, sigma^2)."""
    coupling = InPainting(mask="lower", share=0.5, noise=0.7)
    known, hidden = COVARIANCE[:2, :2], COVARIANCE[2:, 2:]
    gain = COVARIANCE[2:, :2] @ torch.linalg.inv(known)
    spread = hidden - gain @ COVARIANCE[:2, 2:]
    eye = torch.eye(2, dtype=torch.float64)

    def velocity(x, t):
        mean = x[:, :2] @ gain.T
        t = t[:, None, None]
        here = (1 - t) ** 2 * 0.49 * eye + t**2 * spread
        rate = torch.linalg.solve(here, t * spread - (1 - t) * 0.49 * eye)
        return torch.cat(
            [torch.zeros_like(mean), mean + ((x[:, 2:] - t[:, 0] * mean)[:, None] @ rate)[:, 0]], 1
        )

    x1 = gaussian(20_000, generator)
    start = coupling.degrade(x1, generator=generator)
    fields = LearnedFields(Linear(envelope=ZeroEnvelope()), velocity=velocity)
    end = sample(fields, start.x0, method="rk4", n_steps=40).x
    assert torch.equal(end[:, :2], x1[:, :2])
    found, error = covariance(end)
    assert ((found - COVARIANCE).abs() <= 4 * error).all()
    assert (end.mean(0).abs() <= 4 * (COVARIANCE.diagonal() / len(end)).sqrt()).all()


@pytest.mark.parametrize("t", [0.25, 0.75])
@pytest.mark.parametrize("name", ["in_painting", "super_resolution"])
def test_regression_on_draws_gives_the_velocity_of_the_joint_gaussian(name, t, generator):
    """(x0, x1) is Gaussian, so E[x1 - x0 | x_t] is linear; its matrix follows from the coupling's two moments."""
    coupling = COUPLINGS[name][0]
    if name == "in_painting":
        map_ = torch.diag(torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=torch.float64))
        noise = torch.diag(torch.tensor([0.0, 0.0, 0.49, 0.49], dtype=torch.float64))
    else:
        map_ = torch.kron(torch.eye(2, dtype=torch.float64), torch.full((2, 2), 0.5, dtype=torch.float64))
        noise = 0.16 * torch.eye(4, dtype=torch.float64)
    start, cross = map_ @ COVARIANCE @ map_.T + noise, map_ @ COVARIANCE
    here = (1 - t) ** 2 * start + t * (1 - t) * (cross + cross.T) + t**2 * COVARIANCE
    rate = t * (COVARIANCE - cross) + (1 - t) * (cross.T - start)
    exact = torch.linalg.solve(here, rate.T).T

    x1 = gaussian(40_000, generator)
    pairs = coupling.pair(x1, x1, generator=generator)
    x_t, x_dot = (1 - t) * pairs.x0 + t * pairs.x1, pairs.x1 - pairs.x0
    fitted = torch.linalg.lstsq(x_t, x_dot)
    left = (x_dot - x_t @ fitted.solution).square().mean(0)
    error = (left[:, None] * torch.linalg.inv(x_t.T @ x_t).diagonal()).sqrt()
    assert ((fitted.solution.T - exact).abs() <= 4.5 * error + 1e-9).all()


def test_coarse_and_fine_are_a_projection(generator):
    coupling = SuperResolution(factor=2)
    coarse = torch.arange(2 * 3 * 2 * 4, dtype=torch.float64).reshape(2, 3, 2, 4)
    full = coupling.upsample(coarse)
    assert full.shape == (2, 3, 4, 8)
    assert torch.equal(full[0, 0, :2, :2], coarse[0, 0, 0, 0].expand(2, 2))
    assert_close(coupling.downsample(full), coarse)
    image = torch.randn(5, 1, 4, 4, dtype=torch.float64, generator=generator)
    assert_close(coupling.downsample(image), torch.nn.functional.avg_pool2d(image, 2))


@pytest.mark.parametrize(
    ("settings", "share"),
    [
        ({"mask": "rectangle", "share": 0.25}, 0.25),
        ({"mask": "lower", "share": 0.5}, 0.5),
        ({"mask": "tiles", "share": 0.3, "tile": 2}, 0.3),
    ],
)
def test_masks_hide_the_share_they_say_and_every_place_in_turn(settings, share, generator):
    x = torch.zeros(4000, 3, 8, 8)
    hidden = ~InPainting(**settings).known(x, generator=generator)
    assert hidden.shape == (4000, 1, 8, 8)
    counts = hidden.flatten(1).sum(1)
    if settings["mask"] == "tiles":
        blocks = hidden.float().unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
        assert (blocks.amax(-1) == blocks.amin(-1)).all()
        chance = hidden.float().mean(0)
        assert ((chance - share).abs() <= 4.5 * (share * (1 - share) / 4000) ** 0.5).all()
    else:
        assert (counts == 64 * share).all()
    if settings["mask"] == "rectangle":
        # A 4 x 4 hole in 5 x 5 places: the corner is hidden in one, the centre in 16 of 25.
        assert abs(float(hidden[:, 0, 0, 0].float().mean()) - 1 / 25) <= 4 * (0.04 * 0.96 / 4000) ** 0.5
        assert abs(float(hidden[:, 0, 3, 3].float().mean()) - 16 / 25) <= 4 * (0.64 * 0.36 / 4000) ** 0.5


def test_hidden_values_are_not_read(generator):
    observed = torch.full((3, 1, 4, 4), float("nan"))
    observed[..., :2, :] = 1.0
    start = InPainting().start(observed, ~observed.isnan(), generator=generator)
    assert torch.isfinite(start.x0).all()
    assert (start.x0[..., :2, :] == 1).all()


def test_the_condition_joins_what_is_there(generator):
    x = torch.zeros(5, 2, 4, 4)
    labels = torch.arange(5)
    coupling = SuperResolution()
    assert coupling.pair(x, x, generator=generator).cond1.shape == (5, 2, 4, 4)
    joined = coupling.pair(x, x, generator=generator, cond1=labels).cond1
    assert set(joined) == {"label", "field"}
    assert joined["label"] is labels
    assert SuperResolution(condition=False).pair(x, x, generator=generator, cond1=labels).cond1 is labels
    assert InPainting().net_settings(x) == {"cond_channels": 1}
    assert coupling.net_settings(x) == {"cond_channels": 2}
    assert InPainting().net_settings(torch.zeros(1, 7)) == {"cond_dim": 7}
    with pytest.raises(InvalidInputError, match="must not have the key 'field'"):
        coupling.pair(x, x, generator=generator, cond1={"field": x})


def test_bad_shapes_are_refused():
    with pytest.raises(InvalidInputError, match="multiples of 3"):
        SuperResolution(factor=3).degrade(torch.zeros(2, 1, 4, 4))
    with pytest.raises(InvalidInputError, match="known must be bool"):
        InPainting().start(torch.zeros(2, 1, 4, 4), torch.ones(2, 1, 4, 4))
    with pytest.raises(InvalidInputError, match="must keep the shape"):
        Degraded(lambda x: x[..., ::2]).degrade(torch.zeros(2, 4))


def test_the_lower_mask_hides_the_last_rows_of_an_image_that_is_no_square():
    known = InPainting(mask="lower", share=0.5).known(torch.zeros(3, 1, 4, 6))
    assert known[:, :, :2].all()
    assert not known[:, :, 2:].any()
