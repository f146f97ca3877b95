"""Bridge.fit_solver and the command fit-solver: starts, conditions and strengths are those of sampling."""

import pytest
import torch
from typer.testing import CliRunner

from interpolants.cli.app import app
from interpolants.foundations.errors import InvalidInputError
from interpolants.methods import Bridge

NET = {"kind": "mlp", "width": 16, "depth": 2}
QUICK = {"pairs": 300, "steps": 40}


def rows(n=400):
    x = torch.randn(n, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 0.3])
    return x + torch.stack([torch.zeros(n), x[:, 0].square()], 1)


@pytest.fixture(scope="module")
def bridge():
    return Bridge("vp", net=NET, steps=200, batch_size=64, seed=0).fit(x1=rows(), progress=False)


@pytest.fixture(scope="module")
def labelled():
    labels = ["left", "right"] * 200
    made = Bridge("one_sided_linear", net=NET, steps=60, batch_size=64, drop_condition=0.2, seed=0)
    return made.fit(x1=rows(), cond=labels, progress=False)


def off(x, fine):
    return float((x - fine).square().mean().sqrt())


def test_a_bridge_on_another_path_comes_nearer_than_by_named_solvers(bridge):
    path = {"on": "one_sided_linear"}
    fast = bridge.fit_solver(4, pairs=600, steps=100, batch_size=128, **path)  # measured: 5 times nearer
    fine = bridge.sample(1000, seed=0, method="rk4", n_steps=60, **path)
    named = [
        off(bridge.sample(1000, seed=0, method=name, n_steps=n, **path), fine)
        for name, n in (("euler", 4), ("midpoint", 2), ("rk4", 1), ("dpmpp_2m", 4), ("unipc3", 4))
    ]
    assert off(bridge.sample(1000, seed=0, method=fast, **path), fine) < 0.4 * min(named)
    with pytest.raises(InvalidInputError, match="the fitted solver holds for one path"):
        bridge.sample(10, method=fast)


def test_start_points_are_not_those_of_samples_at_the_same_seed(bridge, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "interpolants.methods.bridge.solver_fitting.fit_solver", lambda fields, x, n, **_: seen.append(x)
    )
    bridge.fit_solver(2, pairs=50, seed=3)
    drawn = bridge._start(50, False, 3, 0, None)
    assert not torch.isclose(seen[0][:, :1], drawn[:, 0]).any(1).any()


def test_labels_are_drawn_and_the_strength_of_guidance_belongs_to_the_solver(labelled):
    fast = labelled.fit_solver(3, guidance=2.0, **QUICK)
    for label in ("left", "right"):
        assert labelled.sample(20, cond=label, guidance=2.0, method=fast, seed=0).shape == (20, 2)
    with pytest.raises(InvalidInputError, match="strength of guidance"):
        labelled.sample(20, cond="left", guidance=4.0, method=fast, seed=0)
    with pytest.raises(InvalidInputError, match="one kind of condition"):
        labelled.sample(20, cond="left", guidance=torch.full((20,), 2.0), method=fast, seed=0)
    with pytest.raises(InvalidInputError, match="one kind of condition"):
        labelled.sample(20, method=fast, seed=0)
    plain = labelled.fit_solver(3, conditional=False, **QUICK)
    assert labelled.sample(20, method=plain, seed=0).shape == (20, 2)


def test_between_two_sets_start_points_are_rows_of_the_first_and_runs_back_are_refused():
    x0 = rows()[torch.randperm(400, generator=torch.Generator().manual_seed(1))] + 3
    bridge = Bridge(net=NET, steps=60, batch_size=64, seed=0).fit(x0, rows(), progress=False)
    fast = bridge.fit_solver(3, **QUICK)
    assert bridge.transport(x0[:10], method=fast).shape == (10, 2)
    for options, rule in (({"reverse": True}, "reverse must be False"), ({"eps": 0.5}, "eps > 0 must have")):
        with pytest.raises(InvalidInputError, match=rule):
            bridge.transport(x0[:10], method=fast, **options)


def test_log_densities_by_a_fitted_solver_are_refused(labelled):
    fast = labelled.fit_solver(3, **QUICK)
    with pytest.raises(InvalidInputError, match="method must be an ODE solver with a quadrature"):
        labelled.sample(5, cond="left", method=fast, log_prob=True, seed=0)
    with pytest.raises(InvalidInputError, match="method must be an ODE solver with a quadrature"):
        labelled.log_prob(rows(5), cond="left", method=fast)
    with pytest.raises(InvalidInputError, match="got 'pears'"):
        labelled.fit_solver(3, pears=300)
    with pytest.raises(InvalidInputError, match="fitted"):
        Bridge().fit_solver(3)


def test_a_file_of_the_command_samples_like_the_solver_in_python(bridge, tmp_path, monkeypatch):
    full = Bridge.fit_solver
    monkeypatch.setattr(Bridge, "fit_solver", lambda self, n, **kw: full(self, n, **{**QUICK, **kw}))
    bridge.save(tmp_path / "model")
    file, out = tmp_path / "fast.json", tmp_path / "x.csv"

    def call(*words, code=0):
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == code, done.output
        return done.output

    words = "fit-solver", tmp_path / "model", "-n", 3, "--on", "one_sided_linear", "--out", file
    assert "on held-out starts" in call(*words)
    assert "must not exist" in call(*words, code=2)
    told = "--on", "one_sided_linear", "--method", file, "--seed", 1
    call("sample", tmp_path / "model", "-n", 130, *told, "--out", out)
    fast = bridge.fit_solver(3, on="one_sided_linear")
    expected = bridge.sample(130, on="one_sided_linear", method=fast, seed=1)
    found = torch.tensor([[float(x) for x in line.split(",")] for line in out.read_text().splitlines()[1:]])
    assert torch.allclose(found, expected, atol=1e-5)
    call("sample", tmp_path / "model", "-n", 130, *told, "--shards", tmp_path / "parts", "--batch-size", 64)
    assert "must end in .json" in call(*words[:-1], tmp_path / "a.csv", code=2)
