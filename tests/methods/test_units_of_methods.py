"""Units of columns and conditions: answers follow them, or a warning names what does not."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from interpolants import Bridge
from interpolants.dynamics import sample as dynamics_sample
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.randomness import generator
from interpolants.foundations.tell import DataWarning
from interpolants.methods import (
    FlowMap,
    Forecaster,
    PriorRestoration,
    Rectification,
    Restoration,
    one_step,
)
from odd_columns import check_odd_columns_are_named, odd_rows

F64 = torch.float64
QUICK = {"net": {"kind": "mlp", "width": 8, "depth": 1}, "steps": 10, "batch_size": 32}
SOURCE = generator(0, "units")
X0 = torch.randn(64, 2, dtype=F64, generator=SOURCE)
C = torch.rand(64, 1, dtype=F64, generator=SOURCE)
X1 = torch.randn(64, 2, dtype=F64, generator=SOURCE) / 2 + C + 1
POWERS = st.integers(-20, 20).map(lambda k: 2.0**k)  # 1e-6 to 1e6, exact: equal to the last bits


def one_sided(s, k):
    return Bridge(path="one_sided_linear", held_out=0, **QUICK).fit(x1=X1 * s, cond=C * k, progress=False)


def two_sided(s, k):
    return Bridge(held_out=0, **QUICK).fit(X0 * s, X1 * s, cond=C * k, progress=False)


def flow_map(s, k):
    return FlowMap(**QUICK).fit(X0 * s, X1 * s, cond=C * k)


def rectification(s, k):
    return Rectification(n_steps=2, **QUICK).fit(X0 * s, X1 * s, cond=C * k)


REFERENCE = {}


@pytest.mark.cases(2)
@pytest.mark.parametrize("make", [one_sided, two_sided, flow_map, rectification])
@settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(scales=st.tuples(POWERS, POWERS), k=POWERS)
def test_units_of_columns_and_conditions_do_not_matter(make, scales, k):
    one = torch.ones(2, dtype=F64)
    if make not in REFERENCE:
        REFERENCE[make] = make(one, 1.0).sample(8, cond=C[:8], seed=0, n_steps=2)
    s = torch.tensor(scales, dtype=F64)
    assert_close(
        make(s, k).sample(8, cond=C[:8] * k, seed=0, n_steps=2) / s, REFERENCE[make], rtol=1e-5, atol=1e-6
    )


def test_log_densities_follow_units():
    plain, scaled = one_sided(1.0, 1.0), one_sided(2.0**-20, 2.0**10)
    moved = scaled.log_prob(X1[:4] * 2.0**-20, cond=C[:4] * 2.0**10)
    assert_close(
        moved,
        plain.log_prob(X1[:4], cond=C[:4]) + 2 * 20 * torch.tensor(2.0, dtype=F64).log(),
        atol=1e-4,
        rtol=0,
    )


def test_units_of_conditions_of_a_restoration_do_not_matter():
    seen = torch.where(torch.tensor([True, False]), X1[:8], torch.nan)
    fits = {k: Restoration(**QUICK).fit(X1, cond=C * k) for k in (1.0, 2.0**20)}
    made = [fit.restore(seen, cond=C[:8] * k, seed=0, n_steps=2).x for k, fit in fits.items()]
    assert_close(made[0], made[1])


@pytest.mark.parametrize(
    "fit",
    [
        lambda s: Rectification(n_steps=2, standardize=False, **QUICK).fit(X0 * s, X1 * s),
        lambda s: Rectification(path="one_sided_linear", n_steps=2, **QUICK).fit(x1=X1 * s),
        lambda s: Rectification(coupling="minibatch_ot", n_steps=2, **QUICK).fit(X0 * s, X1 * s),
        lambda s: Rectification(gradient=True, n_steps=2, **QUICK).fit(X0 * s, X1 * s),
        lambda s: Restoration(**QUICK).fit(X1 * s),
        lambda s: PriorRestoration(torch.ones(1, 2, dtype=F64), **QUICK).fit(X1 * s),
    ],
)
@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_other_units_than_one_are_named(fit, scale):
    with pytest.warns(DataWarning, match=r"has mean .* is learnt in these units\. Standardise before fit"):
        fit(torch.tensor([1.0, scale], dtype=F64))


def test_flows_and_costs_of_a_rectification_are_in_data_units():
    s, m = torch.tensor([1e-3, 1e3], dtype=F64), torch.tensor([5.0, -1e4], dtype=F64)
    bridge = Rectification(n_steps=20, **QUICK).fit(X0 * s + m, X1 * s + m)
    x = X0[:8] * s + m
    ends = bridge.transport(x, n_steps=20)
    assert_close(
        dynamics_sample(bridge.fields, x, n_steps=20, method="midpoint").x, ends, rtol=1e-6, atol=1e-9
    )
    assert_close(one_step(bridge.fields, x), bridge.transport(x, one_step=True), rtol=1e-6, atol=1e-9)
    first, last = bridge.compare_flows(x)
    assert last.cost == pytest.approx(float((ends - x).square().sum(1).mean()), rel=1e-2)
    assert first.cost > 1


def test_gradients_stay_gradients_in_data_units():
    bridge = Rectification(gradient=True, n_steps=2, **QUICK).fit(X0 * torch.tensor([1e3, 2e3]), X1 * 1e3)
    jacobian = torch.autograd.functional.jacobian(
        lambda x: bridge.fields.velocity(x, torch.tensor(0.5)), X0[:1] * 1e3
    )
    assert_close(jacobian[0, :, 0], jacobian[0, :, 0].T)
    assert float(jacobian.abs().max()) > 0


def test_a_rectification_of_other_units_is_kept(tmp_path):
    bridge = Rectification(n_steps=2, **QUICK).fit(X0 * 1e3, X1 * 1e3)
    again = Rectification.load(bridge.save(tmp_path / "kept"))
    assert torch.equal(again.sample(4, seed=0), bridge.sample(4, seed=0))
    assert torch.equal(
        again.fields.velocity(X0, torch.tensor(0.5)), bridge.fields.velocity(X0, torch.tensor(0.5))
    )


@pytest.mark.parametrize(
    "fit",
    [
        lambda x: Bridge("one_sided_linear", held_out=0, **QUICK).fit(x1=x, progress=False),
        lambda x: FlowMap(**QUICK).fit(odd_rows(1), x),
        lambda x: Forecaster(**QUICK).fit(odd_rows(1), x),
        lambda x: Rectification(n_steps=2, **QUICK).fit(odd_rows(1), x),
        lambda x: Restoration(**QUICK).fit(x),
        lambda x: PriorRestoration(torch.ones(1, 3, dtype=F64), **QUICK).fit(x),
    ],
)
def test_every_method_of_tables_names_odd_columns_and_a_remedy(fit):
    check_odd_columns_are_named(fit)


def test_a_flow_map_of_transformed_columns_answers_in_data_units(tmp_path):
    x0, x1 = (torch.randn(300, 2, dtype=F64, generator=SOURCE) + k for k in (0, 1))
    one = FlowMap(transform={"1": "log"}, **QUICK).fit(
        *(torch.stack([x[:, 0], x[:, 1].exp()], 1) for x in (x0, x1))
    )
    by_hand = FlowMap(**QUICK).fit(x0, x1)
    made, told = one.sample(20, seed=0), by_hand.sample(20, seed=0)
    assert_close(torch.stack([made[:, 0], made[:, 1].log()], 1), told, rtol=1e-6, atol=1e-6)
    again = FlowMap.load(one.save(tmp_path / "kept"))
    assert torch.equal(again.sample(20, seed=0), made)
    with pytest.raises(InvalidInputError, match="column 1 must have values that its transform takes, got -1"):
        one.transport(torch.tensor([[0.0, -1.0]], dtype=F64))
