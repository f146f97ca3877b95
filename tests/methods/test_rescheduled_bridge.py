"""Fitted bridges on another path than that of their training."""

import pickle

import pytest
import torch

import interpolants as itp
from interpolants.foundations.errors import InvalidInputError

NET = {"kind": "mlp", "width": 16, "depth": 2}


def bent(n, seed=0):
    x = torch.randn(n, 2, generator=torch.Generator().manual_seed(seed)) * torch.tensor([1.0, 0.2])
    return torch.stack([x[:, 0], x[:, 1] + x[:, 0].square() - 1], 1)


@pytest.fixture(scope="module")
def bridge():
    return itp.Bridge(path="vp", net=NET, steps=60, seed=0).fit(x1=bent(600), progress=False)


def test_the_flow_ends_at_the_same_points_in_data_units(bridge):
    moved = bridge.on("one_sided_linear")
    known = {"seed": 0, "method": "rk4", "n_steps": 200}
    gap = (moved.sample(200, **known) - bridge.sample(200, **known)).norm(dim=1)
    # VP keeps 0.7 % of the data at t = 0, which the linear path does not have.
    assert float(gap.median()) < 0.01
    gap = (
        moved.transport(bent(50), reverse=True, **known) - bridge.transport(bent(50), reverse=True, **known)
    ).norm(dim=1)
    assert float(gap.median()) < 0.05
    assert torch.allclose(moved.log_prob(bent(20)), bridge.log_prob(bent(20)), atol=0.05)


def test_the_option_of_a_draw_is_the_moved_bridge(bridge):
    moved = bridge.on("one_sided_linear")
    on = {"kind": "one_sided_linear"}
    assert torch.equal(bridge.sample(20, seed=0, on=on), moved.sample(20, seed=0))
    x = torch.randn(8, 2, generator=torch.Generator().manual_seed(1))
    assert torch.equal(bridge.transport(x, seed=0, on=on, eps=0.3), moved.transport(x, seed=0, eps=0.3))
    assert not torch.equal(moved.sample(20, seed=0), bridge.sample(20, seed=0))


def test_moving_twice_or_back(bridge):
    moved = bridge.on("one_sided_trigonometric")
    assert torch.equal(moved.on("vp").sample(20, seed=0), bridge.sample(20, seed=0))
    twice, once = moved.on("one_sided_linear"), bridge.on("one_sided_linear")
    assert torch.equal(twice.sample(20, seed=0), once.sample(20, seed=0))
    assert bridge.on("vp") is bridge


def test_a_moved_bridge_is_saved_pickled_and_completes_rows(bridge, tmp_path):
    moved = bridge.on("one_sided_linear")
    moved.save(tmp_path / "moved")
    read = itp.load(tmp_path / "moved")
    for copied in (read, pickle.loads(pickle.dumps(moved))):
        assert torch.equal(copied.sample(20, seed=1), moved.sample(20, seed=1))
    assert torch.equal(read.on("vp").sample(20, seed=0), bridge.sample(20, seed=0))
    row = moved.complete(torch.tensor([[0.5, float("nan")]]))
    assert float(row[0, 0]) == 0.5
    assert bool(row.isfinite().all())


def test_conditions_and_guidance_go_along():
    labels = torch.arange(300) % 2
    x = bent(300) + 3.0 * labels[:, None]
    known = {"path": "vp", "net": NET, "steps": 60, "seed": 0, "drop_condition": 0.2}
    bridge = itp.Bridge(**known).fit(x1=x, cond=labels, progress=False)
    moved = bridge.on("one_sided_linear")
    draw = {
        "seed": 0,
        "method": "rk4",
        "n_steps": 100,
        "cond": torch.ones(60, dtype=torch.long),
        "guidance": 1.5,
    }
    gap = (moved.sample(60, **draw) - bridge.sample(60, **draw)).norm(dim=1)
    assert float(gap.median()) < 0.02


def test_what_cannot_be_moved_is_refused(bridge):
    with pytest.raises(InvalidInputError, match="on: both paths must be one-sided"):
        bridge.on("linear")
    with pytest.raises(InvalidInputError, match="on: both paths must start from the same base"):
        bridge.on({"kind": "edm", "df": 3})
    with pytest.raises(InvalidInputError, match="must be fitted"):
        itp.Bridge(path="vp").on("one_sided_linear")
    two = itp.Bridge(net=NET, steps=3, seed=0).fit(x0=bent(60, 1), x1=bent(60), progress=False)
    with pytest.raises(InvalidInputError, match="another gamma is another family"):
        two.on({"kind": "trigonometric"})


def test_a_few_step_sampler_and_an_sde_run_on_the_new_path(bridge):
    moved = bridge.on("one_sided_linear")
    settings = {"n_steps": 1, "method": "midpoint", "steps": 2, "batch_size": 32, "seed": 0}
    fast = itp.methods.FewStep(**settings).fit(model=moved, x1=bent(600), progress=False)
    assert tuple(fast.sample(3, seed=0).shape) == (3, 2)
    before = bridge.on("one_sided_linear").sample(3, seed=0)
    assert torch.equal(moved.sample(3, seed=0), before)  # its copy was trained
    x, log_prob = moved.sample(50, seed=0, log_prob=True)
    assert torch.allclose(log_prob, moved.log_prob(x), atol=0.05)
