"""Conditions in any unit give the same answers; labels of any kind are read right or refused in words."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from interpolants import Bridge, load
from interpolants.foundations.errors import InvalidInputError
from interpolants.methods.bridge.units import _moments as moments_of_rows
from interpolants.methods.flow_map.flow_map import FlowMap
from interpolants.methods.forecaster import Forecaster

TINY = {"net": {"kind": "mlp", "width": 16, "depth": 2}, "steps": 60, "batch_size": 64, "seed": 0}
RNG = np.random.default_rng(0)
COND = RNG.uniform(-1, 1, (400, 1))
X = 2 * COND + 0.3 * RNG.normal(size=(400, 1))


def fit(x=X, **given):
    return Bridge("one_sided_linear", **TINY).fit(x1=x, progress=False, **given)


@pytest.fixture(scope="module")
def plain():
    return fit(cond=COND)


@pytest.mark.slow
@pytest.mark.parametrize(("unit", "offset"), [(1e6, 0.0), (1e-6, 0.0), (1e6, 3e8)])
def test_the_unit_of_a_condition_does_not_matter(plain, unit, offset, tmp_path):
    other = fit(cond=unit * COND + offset)
    other = Bridge.load(other.save(tmp_path / "kept"))
    for value in (-0.5, 0.5):
        one = plain.sample(50, seed=1, cond=[value])
        two = other.sample(50, seed=1, cond=[unit * value + offset])
        assert_close(two, one, rtol=1e-2, atol=1e-2)
    rough = {"rtol": 1e-4, "atol": 1e-4}
    one = plain.log_prob(X[:20], cond=COND[:20], **rough)
    two = other.log_prob(X[:20], cond=unit * COND[:20] + offset, **rough)
    assert_close(two, one, rtol=2e-2, atol=2e-2)


def test_fields_are_standardised_by_channel():
    x, cond = (
        RNG.normal(size=(80, 1, 8, 8)),
        RNG.normal(size=(80, 2, 8, 8)) * np.array([1e-3, 1e5])[:, None, None],
    )
    net = {"kind": "unet", "channels": 8, "blocks": 1}
    bridge = Bridge("one_sided_linear", **{**TINY, "net": net, "steps": 1}).fit(
        x1=x, cond=cond, progress=False
    )
    assert_close(torch.tensor(bridge.network.scale), torch.tensor([1e-3, 1e5]), rtol=0.1, atol=0)


def test_a_network_of_your_own_and_standardize_false_see_data_units():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.seen, self.layer = 0.0, nn.Linear(2, 1)

        def forward(self, x, t, cond=None):
            self.seen = max(self.seen, float(cond.abs().max()))
            return self.layer(torch.cat([x, cond / 1e3], 1))

    own = Own()
    kept = Bridge("one_sided_linear", net=own, steps=2, seed=0).fit(x1=X, cond=1e3 * COND, progress=False)
    assert kept.network.seen > 900
    raw = Bridge("one_sided_linear", **TINY, standardize=False).fit(x1=X, cond=COND, progress=False)
    assert not hasattr(raw.network, "shift")


def test_times_since_1970_are_refused_with_a_remedy():
    with pytest.raises(InvalidInputError, match=r"cond must vary by more than .* Subtract an offset"):
        fit(cond=1.7e9 + 1e3 * COND)


LABELS = RNG.integers(0, 3, 400)
GROUPS = 4.0 * LABELS[:, None] + 0.1 * RNG.normal(size=(400, 1))


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    ("cond", "asked"),
    [
        (np.array(["c", "a", "b"])[LABELS], "a"),
        (list(np.array(["c", "a", "b"])[LABELS]), "a"),
        (pd.Series(np.array(["c", "a", "b"])[LABELS]), "a"),
        (pd.Categorical(np.array(["c", "a", "b"])[LABELS]), "a"),
        (pd.Series(np.array([3, 1, 2])[LABELS], dtype="category"), 1),
        (np.array(["3", "1", "2"])[LABELS], 1),
        (pd.Series(np.array(["0.5", "0.1", "7"])[LABELS], dtype="category"), 0.1),
        (LABELS, 1),
    ],
)
def test_a_label_of_any_kind_asks_for_its_own_rows(cond, asked):
    bridge = Bridge("linear", coupling="paired", **TINY).fit(GROUPS, GROUPS, cond=cond, progress=False)
    start = bridge.start_points(200, reverse=True, seed=0, cond=bridge_code(bridge, asked))
    assert float(start.mean()) == pytest.approx(4, abs=0.1)
    backwards = bridge.sample(200, reverse=True, eps=0.0, seed=0, cond=asked, details=True)
    codes = bridge.sample(200, reverse=True, eps=0.0, seed=0, details=True, cond=bridge_name(bridge, asked))
    assert torch.equal(backwards.x, codes.x)


def bridge_code(bridge, asked):
    names = [str(name) for name in bridge.given["cond"].columns]
    return torch.full((200,), names.index(str(asked)))


def bridge_name(bridge, asked):
    return asked if isinstance(bridge.given["cond"].columns[0], int) else str(asked)


@pytest.mark.parametrize("asked", [0, 4])
def test_a_number_that_is_no_category_is_refused(asked):
    bridge = fit(GROUPS, cond=np.array(["3", "1", "2"])[LABELS])
    with pytest.raises(InvalidInputError, match=r"cond must be labels of the fit, 1, 2, 3"):
        bridge.sample(3, cond=asked)


def test_known_labels_that_are_numbers_are_listed_once():
    bridge = fit(GROUPS, cond=pd.Series(np.array([3, 1, 2])[LABELS], dtype="category"))
    with pytest.raises(InvalidInputError, match=r"got 'x'. Known: ") as refused:
        bridge.sample(3, cond="x")
    assert str(refused.value).count("3") == 1


def test_categories_that_are_fractions_are_refused():
    with pytest.raises(InvalidInputError, match="cond must be labels, integers or strings"):
        fit(GROUPS, cond=pd.Series(np.array([0.5, 0.1, 7])[LABELS], dtype="category"))


@pytest.mark.parametrize("missing", [None, np.nan])
def test_missing_labels_are_refused(missing):
    cond = pd.Series([*(["a", "b"] * 199), "a", missing], dtype="category")
    for value in (cond, cond.astype(object)):
        with pytest.raises(InvalidInputError, match="cond must have a label in every row"):
            fit(cond=value)


def test_flow_maps_and_forecasters_take_conditions_in_any_unit(tmp_path):
    known = {**TINY, "steps": 30}

    def made(scale):
        flow = FlowMap(path="one_sided_linear", **known).fit(x1=X, cond=scale * COND)
        ahead = Forecaster(**known).fit(X, X + COND, cond=scale * COND)
        flow, ahead = (load(one.save(tmp_path / f"{scale}{k}")) for k, one in enumerate((flow, ahead)))
        asked = scale * COND[:20]
        return flow.sample(20, seed=1, cond=asked), ahead.forecast(X[:20], cond=asked, seed=1, members=1).x

    for one, two in zip(made(1.0), made(1e6), strict=True):
        assert_close(torch.as_tensor(two), torch.as_tensor(one), rtol=1e-2, atol=1e-2)


def test_no_condition_stays_none_for_guidance():
    bridge = Bridge("one_sided_linear", **TINY, drop_condition=0.2).fit(x1=X, cond=1e6 * COND, progress=False)
    for how in ({}, {"cond": [5e5], "guidance": 2.0}):
        assert np.isfinite(bridge.sample(20, seed=0, **how)).all()


@pytest.mark.parametrize("scale", [2.0**-12, 2.0**12])
def test_moments_of_few_rows_are_in_the_units_of_the_rows(scale):
    """Shrinking leans to white rows, of the size that the rows have."""
    x = torch.randn(9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 3
    mean, values, vectors = moments_of_rows(x)
    told = moments_of_rows(scale * x)
    assert_close(told[0], scale * mean)
    assert_close(told[1], scale**2 * values)
    assert_close(told[2].abs(), vectors.abs())
