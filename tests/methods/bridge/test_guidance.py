"""Guidance of a bridge by tables, against the rules on its fields."""

import warnings

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from typer.testing import CliRunner

from interpolants import Bridge, load
from interpolants.cli import recipe_runs
from interpolants.cli.app import app
from interpolants.dynamics import sample, time_grid
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import SettingWarning
from interpolants.guidance import APGMomentum, Autoguided, CFGPlusPlus, ClassifierFree, guide, with_negative

QUIET = {"progress": False}
TINY = {"net": {"kind": "mlp", "width": 16, "depth": 2}, "batch_size": 64, "held_out": 0, "seed": 0}


def rows():
    rng = np.random.default_rng(0)
    names = np.array(["cat", "dog", "fox"])[rng.integers(0, 3, 200)]
    return torch.as_tensor(rng.normal(size=(200, 2)) + (names == "dog")[:, None] * 3.0), names


def fitted(path="one_sided_linear", steps=60, **settings):
    x, names = rows()
    known = {"x0": torch.randn(200, 2)} if path == "linear" else {}
    return Bridge(path, steps=steps, drop_condition=0.2, **{**TINY, **settings}).fit(
        x1=x, cond=names, **known, **QUIET
    )


@pytest.fixture(scope="module")
def bridge():
    return fitted()


@pytest.fixture(scope="module")
def weak():
    return fitted(steps=5)


X = torch.linspace(-1, 1, 10).reshape(5, 2)
DOG = torch.ones(5, dtype=torch.long)


def by_fields(bridge, fields, cond=DOG, **how):
    return bridge.frame.decode(sample(fields, bridge.frame.encode(X).float(), cond=cond, **how).x)


def test_tables_are_the_rules_on_the_fields(bridge, weak, tmp_path):
    f = bridge.fields
    cases = [
        ({"kind": "linear", "strength": 3.0, "interval": [0.2, 0.7]}, (ClassifierFree(f, 3.0, (0.2, 0.7)), DOG)),
        ({"strength": {"times": [0.2, 0.8], "values": [1, 3]}},
         (ClassifierFree(f, lambda t: 1 + 2 * ((t - 0.2) / 0.6).clamp(0, 1)), DOG)),
        ({"kind": "apg", "strength": 3.0}, guide(f, DOG, 3.0, rule="apg")),
        ({"kind": "apg", "eta": 0.5, "radius": 0.3}, guide(f, DOG, rule="apg", eta=0.5, radius=0.3)),
        ({"kind": "zero_star", "strength": [1, 2, 3, 4, 5]},
         guide(f, DOG, torch.tensor([1.0, 2, 3, 4, 5]), rule="zero_star")),
        ({"kind": "negative", "against": "fox", "strength": 1.5},
         (ClassifierFree(f, 1.5), with_negative(DOG, 2 * DOG))),
        ({"kind": "autoguided", "weak": weak}, (Autoguided(f, weak.fields, 2.0), DOG)),
        ({"kind": "autoguided", "weak": str(weak.save(tmp_path / "weak"))}, (Autoguided(f, weak.fields, 2.0), DOG)),
    ]  # fmt: skip
    plain, seen = bridge.transport(X, cond="dog", n_steps=10), []
    for table, (fields, cond) in cases:
        found = bridge.transport(X, cond="dog", n_steps=10, guidance=table)
        assert_close(found, by_fields(bridge, fields, cond, n_steps=10), atol=1e-5, rtol=1e-5)
        assert (found - plain).abs().max() > 1e-3
        seen.append(found)
    assert all((a - b).abs().max() > 1e-4 for k, a in enumerate(seen[:7]) for b in seen[:k])


def test_momentum_is_the_first_modifier_of_the_run(bridge):
    how = {"method": "euler", "n_steps": 10}
    table = {"kind": "apg", "strength": 3.0, "momentum": -0.5}
    found = bridge.transport(
        X, cond="dog", guidance=table, modifiers={"kind": "size_guard", "limit": 1e6}, **how
    )
    fields, cond = guide(bridge.fields, DOG, 3.0, rule="apg")
    wanted = by_fields(bridge, fields, cond, modifiers=APGMomentum(-0.5), **how)
    assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    with pytest.raises(InvalidInputError, match=r"momentum needs a run of fixed steps, got -0.5"):
        bridge.sample(4, cond="dog", guidance=table, log_prob=True)
    with pytest.raises(InvalidInputError, match="modifiers need fixed steps"):
        bridge.sample(4, cond="dog", guidance=table, method="dopri5")


def test_cfg_plus_plus_follows_the_steps_of_the_run_and_says_what_it_stands_for(bridge):
    how = {"method": "ddim", "n_steps": 10}
    with pytest.warns(
        SettingWarning, match=r"stands for linear strengths from 0.6 to 1.[0-9]+, which grow with n_st"
    ):
        found = bridge.transport(X, cond="dog", guidance={"kind": "cfg_plus_plus", "strength": 0.6}, **how)
    schedule = CFGPlusPlus(bridge.fields.path, time_grid(10), 0.6)
    assert_close(
        found, by_fields(bridge, ClassifierFree(bridge.fields, schedule), **how), atol=1e-5, rtol=1e-5
    )
    for other in ({}, {"method": "heun"}, {"method": "ddim", "reverse": True}, {"eps": 0.5}):
        with pytest.raises(
            InvalidInputError, match=r"'cfg_plus_plus' needs .*: it is a schedule for DDIM steps"
        ):
            bridge.transport(X, cond="dog", guidance={"kind": "cfg_plus_plus"}, **other)


@pytest.mark.parametrize("path", ["one_sided_linear", "edm"])
def test_cfg_plus_plus_takes_any_number_of_steps(path):
    """With an odd number, and on EDM's own grid, the mean time is the start of no step."""
    bridge = fitted(path, steps=2)
    for n in (2, 3, 4, 5):
        with pytest.warns(SettingWarning, match="linear strengths"):
            made = bridge.transport(
                X, cond="dog", guidance={"kind": "cfg_plus_plus"}, method="ddim", n_steps=n
            )
        assert made.isfinite().all()


def test_a_toy_fitted_and_sampled_by_commands_is_that_of_python(tmp_path, monkeypatch):
    x, names = rows()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(recipe_runs, "_report", lambda *a, **k: None)
    np.save("x.npy", x.numpy())
    np.save("labels.npy", np.unique(names, return_inverse=True)[1])
    net = "method.net={ kind='mlp', width=16, depth=2 }"
    fit = ("--set", net, "--set", "method.drop_condition=0.2", "--set", "ask=[]")
    table = {"kind": "apg", "strength": 3, "radius": 0.5}
    written = "{kind = 'apg', strength = 3, radius = 0.5}"
    for words in (
        ("run", "--x1", "x.npy", "--cond", "labels.npy", "--steps", 20, "--out", "toy", *fit),
        (
            "sample",
            "toy",
            "-n",
            20,
            "--cond",
            1,
            "--n-steps",
            5,
            "--guidance",
            written,
            "--seed",
            1,
            "--out",
            "y.npy",
        ),
        ("sample", "toy", "-n", 20, "--cond", 1, "--n-steps", 5, "--seed", 1, "--out", "plain.npy"),
    ):
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, done.output
    model = load("toy")
    expected = model.sample(20, cond=1, n_steps=5, guidance=table, seed=1)
    assert np.array_equal(np.load("y.npy"), np.asarray(expected))
    assert np.abs(np.load("plain.npy") - np.load("y.npy")).max() > 1e-3


def test_a_density_with_guidance_warns(bridge):
    for strength in (1.0, 3.0):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            bridge.sample(3, cond="dog", guidance=strength, log_prob=True, seed=0)
        assert [w.category for w in seen] == [SettingWarning] * (strength != 1)


def test_what_does_not_fit_is_refused(bridge, weak):
    x, names = rows()
    two_sided = fitted("linear", steps=2)
    nameless = Bridge("one_sided_linear", steps=2, **TINY).fit(x1=x, **QUIET)
    moved = Bridge("one_sided_linear", steps=2, **TINY).fit(x1=5 * x + 1, cond=names, **QUIET)
    other_path = fitted("one_sided_trigonometric", steps=2)
    cases = [
        ({"kind": "apq"}, "kind of guidance must be one of .*got 'apq'.*apg"),
        ({"kind": "apg", "etta": 1}, "guidance by 'apg' must be one of .*got 'etta'.*eta"),
        (
            {"kind": "linear", "eta": 1},
            "guidance by 'linear' must be one of kind, strength, interval, got 'eta'",
        ),
        ({"kind": "apg", "eta": -1}, "eta must be finite and >= 0"),
        ({"kind": "negative"}, "needs the condition to guide away from"),
        ({"kind": "negative", "against": "cow"}, "cow"),
        ("strong", "guidance must be a number, .*got 'strong'"),
        (float("nan"), "strength must be finite, got nan"),
        ({"times": [0.5, 0.2], "values": [1, 2]}, "increasing times"),
        ({"times": [0.2, 0.5], "values": [1, float("inf")]}, "strengths must be finite"),
        ({"kind": "autoguided"}, "weak must be a fitted bridge, or its folder, got NoneType"),
        ({"kind": "autoguided", "weak": nameless}, "fitted with the same conditions"),
        ({"kind": "autoguided", "weak": moved}, "see states in the same units"),
        ({"kind": "autoguided", "weak": other_path}, "on one path.*on_path"),
    ]
    for table, message in cases:
        with pytest.raises(InvalidInputError, match=message):
            bridge.transport(X, cond="dog", guidance=table)
    twice = {"guidance": {"kind": "apg", "interval": [0.1, 0.5]}, "guidance_interval": (0.0, 0.5)}
    with pytest.raises(InvalidInputError, match="guidance has one interval"):
        bridge.transport(X, cond="dog", **twice)
    with pytest.raises(InvalidInputError, match=r"APG: the rule needs E\[x1\|x_t\] on a one-sided path"):
        two_sided.transport(X, cond="dog", guidance={"kind": "apg"})
    assert two_sided.transport(X, cond="dog", guidance={"kind": "zero_star"}).isfinite().all()
