"""Variations of rows: near the row at late times, new samples at early ones, in units and container of the rows."""

import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from interpolants import Bridge
from interpolants.dynamics import sample_posterior
from interpolants.dynamics.renoise import renoise
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import DataWarning, OutsideWarning

NET = {"kind": "mlp", "width": 48, "depth": 2}
# Two blobs far from 0 and from unit size, so that a state in the wrong units is no state at all.
CENTRES, SD = torch.tensor([[80.0, -5.0], [120.0, -1.0]]), torch.tensor([3.0, 0.3])


def blobs(n, seed):
    g = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    return CENTRES[labels] + SD * torch.randn(n, 2, generator=g), labels


@pytest.fixture(scope="module")
def bridge():
    x, labels = blobs(1000, 0)
    options = {"net": NET, "steps": 800, "batch_size": 128, "seed": 0, "drop_condition": 0.2}
    return Bridge("one_sided_linear", **options).fit(x1=x, cond=labels, progress=False)


def side(x):
    return (x[:, 0] > 100).long()


def test_late_variations_stay_with_their_row_and_early_ones_forget_it(bridge):
    x, labels = blobs(1000, 1)
    near, middle, far = (bridge.vary(x, t=t, seed=0) for t in (0.95, 0.6, 0.0))
    assert (side(near) == labels).float().mean() > 0.99
    assert 0.4 < (side(far) == labels).float().mean() < 0.6
    moved = [float(((v - x) / SD).square().mean()) for v in (near, middle)]
    assert moved[0] < 0.5 < 1.0 < moved[1]


@pytest.mark.parametrize("t", [0.0, 0.5, 0.9])
def test_variations_have_the_distribution_of_the_bridge(bridge, t):
    x = bridge.sample(4000, seed=1)
    found, other = bridge.vary(x, t=t, seed=0), bridge.sample(4000, seed=2)
    # Exact for exact fields. A learnt denoiser is not that of its own samples: half of the 3 of the data is allowed.
    assert float(side(found).float().mean()) == pytest.approx(float(side(other).float().mean()), abs=0.05)
    for k in (0, 1):
        mine, its = found[side(found) == k], other[side(other) == k]
        assert_close(mine.mean(0), its.mean(0), atol=1.5, rtol=0.0)
        assert_close(mine.std(0), its.std(0), atol=0.0, rtol=0.12)


@pytest.mark.parametrize("t", [0.2, 0.5, 0.8])
def test_a_gaussian_varies_with_the_correlation_of_its_closed_form(t):
    # The network starts from the exact fields of a Gaussian. In whitened units the state is t x + (1 - t) z, thus
    # the row and its variation have the correlation t^2 / (t^2 + (1 - t)^2).
    covariance = torch.tensor([[4.0, 1.5], [1.5, 1.0]])
    root = torch.linalg.cholesky(covariance)
    x = (
        torch.tensor([30.0, -9.0])
        + torch.randn(20_000, 2, generator=torch.Generator().manual_seed(0)) @ root.T
    )
    fitted = Bridge("one_sided_linear", net=NET, steps=1, seed=0).fit(x1=x, progress=False)
    joint = torch.cov(torch.cat([x, fitted.vary(x, t=t, seed=0, n_steps=12)], 1).T)
    shared = t * t / (t * t + (1 - t) ** 2)
    assert_close(joint[:2, 2:], shared * covariance, atol=0.12, rtol=0.0)
    assert_close(joint[2:, 2:], covariance, atol=0.12, rtol=0.0)


def test_a_variation_is_a_posterior_draw_of_the_noised_row(bridge):
    x, _ = blobs(20, 1)
    state = renoise(bridge.fitted_path, bridge.encoded(x), 1.0, 0.7, seed=3)
    by_hand = bridge.decoded(sample_posterior(bridge.fields, state, 0.7, seed=3)[0])
    assert_close(bridge.vary(x, t=0.7, seed=3), by_hand, atol=0.0, rtol=0.0)


def test_a_condition_decides_where_the_state_does_not(bridge):
    x, labels = blobs(400, 1)
    other = 1 - labels
    for options in ({}, {"guidance": 2.0}):
        found = bridge.vary(x, t=0.1, seed=0, cond=other, **options)
        assert (side(found) == other).float().mean() > 0.95


def test_tables_come_back_as_tables():
    x, _ = blobs(200, 0)
    frame = pd.DataFrame(x.double().numpy(), columns=["mass", "charge"]).assign(site=7.0)
    with pytest.warns(DataWarning, match="site of x1 is constant"):
        fitted = Bridge("vp", net=NET, steps=5, seed=0).fit(x1=frame, progress=False)
    found = fitted.vary(frame.iloc[3:9], t=0.9, seed=0)
    assert list(found.columns) == ["mass", "charge", "site"]
    assert list(found.index) == list(range(3, 9))
    assert (found.site == 7.0).all()
    parts = [fitted.vary(frame.iloc[a:b], t=0.9, seed=0, first_index=a - 3) for a, b in ((3, 5), (5, 9))]
    assert_close(torch.tensor(pd.concat(parts).values), torch.tensor(found.values), atol=1e-4, rtol=1e-6)
    with pytest.warns(OutsideWarning, match="site"), pytest.raises(InvalidInputError, match="constant"):
        fitted.vary(frame.assign(site=8.0))


@pytest.mark.parametrize("t", [1.0, -0.1, float("nan"), True])
def test_times_without_a_posterior_are_refused(bridge, t):
    with pytest.raises(InvalidInputError, match="t must lie"):
        bridge.vary(blobs(3, 0)[0], t=t)


def test_a_bridge_between_two_data_sets_has_no_variations():
    x, _ = blobs(50, 0)
    fitted = Bridge("linear", net=NET, steps=2, seed=0).fit(x0=x, x1=x, progress=False)
    with pytest.raises(InvalidInputError, match="Gaussian base"):
        fitted.vary(x)
