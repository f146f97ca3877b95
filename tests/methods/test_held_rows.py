"""Rows given as ``held=``: forecasters and restorations keep the weights that are best on them."""

import pytest
import torch

from interpolants.methods import Forecaster, Restoration

MLP = {
    "net": {"kind": "mlp", "width": 64, "depth": 2},
    "lr": 1e-2,
    "batch_size": 64,
    "steps": 200,
    "validate_every": 20,
    "seed": 0,
}


def normal(n, seed=0, columns=6):
    return torch.randn(n, columns, generator=torch.Generator().manual_seed(seed))


def fits():
    now, later = normal(30), normal(30, 1)
    unseen = {"now": normal(200, 2), "later": normal(200, 3)}
    yield "forecaster", Forecaster(**MLP), {"now": now, "later": later}, unseen
    whole = Restoration(coupling={"kind": "in_painting", "share": 0.5}, **MLP)
    yield "velocity", whole, {"x1": normal(30)}, {"x1": normal(200, 4)}


@pytest.mark.parametrize(
    ("stage", "method", "given", "held"), list(fits()), ids=["forecaster", "restoration"]
)
def test_weights_from_before_the_rows_were_learnt_by_heart_are_kept(stage, method, given, held):
    fitted = method.fit_roles(given, held=held)
    told = fitted.about["validation"][stage]
    assert told["best"]["step"] < told["steps"]
    losses = [row["held_out_loss"] for row in told["rows"]]
    assert told["best"]["value"] == min(losses) < losses[-1]
    assert f"weights of step {told['best']['step']}" in repr(fitted)
    blind = method.set_params(steps=2).fit_roles(given)
    assert stage not in blind.about.get("validation", {})
