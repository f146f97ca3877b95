"""What is asked about far from the fit is told."""

import warnings

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants import Bridge
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import OutsideWarning
from interpolants.framework.far_values import spread_of, untold, warn_if_unlike

TINY = {"steps": 2, "net": {"kind": "mlp", "width": 4, "depth": 1}}
KELVIN = 280 + 10 * torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
QUIET = {"progress": False}


def test_the_spread_of_vectors_and_fields():
    x = torch.tensor([[1.0, 5.0], [3.0, 5.0]]).repeat(4, 1)
    assert spread_of(x) == ((2.0, 1.0), (5.0, 0.0))
    assert spread_of(torch.zeros(0, 2)) == ()
    fields = torch.stack([x, x + 2], 2)  # (N, C, D)
    mean, deviation = torch.tensor(spread_of(fields)).T
    assert_close(mean, torch.tensor([3.0, 6.0]))
    assert_close(deviation, torch.tensor([2.0**0.5, 1.0]))


def test_a_spread_counts_what_was_seen_and_holds_all_of_it():
    x = torch.tensor([0.0] * 9 + [100.0], dtype=torch.float64)
    x = torch.stack(
        [x, torch.where(x > 0, torch.nan, x + 7), torch.full((10,), torch.nan, dtype=torch.float64)], 1
    )
    (mean, reach), seven, nothing = spread_of(x)
    assert (mean, reach) == (10.0, 30.0)  # the deviation: 90 / 10 is less
    assert seven == (7.0, 0.0)
    assert nothing[1] == float("inf")
    lone = torch.cat([torch.zeros(9999, 1), torch.full((1, 1), 1000.0)])
    assert_close(spread_of(lone)[0][1], 99.99)  # a tenth of the way to the farthest: the deviation is 10
    assert [pair[1] for pair in spread_of(x[:7])] == [float("inf")] * 3
    assert len(spread_of(torch.randn(8, 1001))) == 1
    in_pieces = torch.randn(3000, 900, generator=torch.Generator().manual_seed(0)) + 5
    mean, deviation = torch.tensor(spread_of(in_pieces), dtype=torch.float64).T
    assert_close(mean, in_pieces.double().mean(0))
    assert_close(deviation, in_pieces.double().std(0, correction=0))


def test_a_sparse_field_in_other_units_is_told_by_its_size():
    spread, field = ((0.0, 1.0),), torch.zeros(3, 1, 100)
    field[:, :, :4] = 5.0
    warn_if_unlike("who", "x", field, spread)
    with pytest.warns(OutsideWarning, match="who: x lies 12 standard deviations"):
        warn_if_unlike("who", "x", 12 * field, spread)


def test_what_is_asked_on_the_way_is_not_compared():
    far, spread = torch.full((8, 1), 100.0), ((0.0, 1.0),)
    with untold():
        warn_if_unlike("who", "x", far, spread)
    with pytest.warns(OutsideWarning, match="x lies 100 standard deviations"):
        warn_if_unlike("who", "x", far, spread)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ([[2.0, 5.0]], None),
        ([[11.9, 5.0]], None),
        ([[12.1, 5.0], [2.0, 5.0], [12.1, 5.0]], "b of x|column a of x lies 10.1 standard deviations"),
        ([[12.1, 5.0], [2.0, 5.0], [2.0, 5.0]], None),  # one outlier of three
        ([[2.0, 5.001]], "column b of x was 5 in every row of the fit; nothing was learnt of other values"),
    ],
)
def test_values_unlike_those_of_the_fit(asked, said):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        warn_if_unlike("who", "x", torch.tensor(asked), ((2.0, 1.0), (5.0, 0.0)), ("a", "b"))
    told = [str(one.message) for one in found]
    assert len(told) == (said is not None)
    assert said is None or any(words in told[0] for words in said.split("|"))


@pytest.mark.parametrize("form", ["vector", "column", "dict", "field"])
def test_conditions_in_other_units_are_told(form, tmp_path):
    def given(kelvin):
        return {
            "vector": kelvin,
            "column": kelvin[:, 0],
            "dict": {"place": [0] * len(kelvin), "heat": kelvin},
            "field": kelvin[:, :, None, None].expand(-1, -1, 4, 4),
        }[form]

    net = {"kind": "unet", "channels": 8, "blocks": 1, "multipliers": [1]} if form == "field" else TINY["net"]
    x1 = torch.randn(50, 1, 4, 4) if form == "field" else torch.randn(50, 2)
    bridge = Bridge("one_sided_linear", held_out=0, **{**TINY, "net": net}).fit(
        x1=x1, cond=given(KELVIN), **QUIET
    )
    bridge.save(tmp_path / "model")
    for one in (bridge, Bridge.load(tmp_path / "model")):
        with pytest.warns(
            OutsideWarning, match=r"cond.* lies 30.7 standard deviations from .* are the units the same"
        ):
            one.sample(3, cond=given(KELVIN[:3] - 273.15), n_steps=1)
        one.sample(3, cond=given(KELVIN[:3]), n_steps=1)


@pytest.mark.parametrize("cond", [[], torch.zeros(0, 2), np.array(())])
def test_conditions_without_rows_are_refused_by_name(cond):
    with pytest.raises(InvalidInputError, match=r"cond must have .*rows"):
        Bridge("one_sided_linear", **TINY).fit(x1=torch.randn(50, 2), cond=cond, **QUIET)


def test_a_condition_that_never_varied_is_told():
    bridge = Bridge("one_sided_linear", held_out=0, **TINY)
    bridge.fit(x1=torch.randn(50, 2), cond=torch.full((50, 1), 1.1), **QUIET)
    bridge.sample(3, cond=1.1, n_steps=1)
    with pytest.warns(
        OutsideWarning, match="cond was 1.1 in every row of the fit; nothing was learnt of other"
    ):
        bridge.sample(3, cond=1.2, n_steps=1)


@pytest.mark.parametrize("standardize", [True, "whiten"])
def test_points_that_are_carried_in_other_units_are_told(standardize):
    x0, x1 = torch.randn(50, 3) * 10 + 280, torch.randn(50, 3) + 500
    x0[:, 2] = 0.0
    bridge = Bridge("linear", held_out=0, standardize=standardize, **TINY).fit(x0, x1, **QUIET)
    bridge.transport(x0[:4], n_steps=1)
    bridge.transport(x1[:4], n_steps=1, reverse=True)
    with pytest.warns(OutsideWarning, match="Bridge.transport: column 0 of x lies"):
        bridge.transport(x0[:4] - 273.15, n_steps=1)
    with pytest.warns(OutsideWarning, match="Bridge.transport: column 0 of x lies"):
        bridge.transport(x0[:4], n_steps=1, reverse=True)
