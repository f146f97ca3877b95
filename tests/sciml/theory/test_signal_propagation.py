"""The method, its networks and its questions."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import interpolants
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.questions import ask
from interpolants.framework.role import Role
from interpolants.framework.task import Split, Task
from interpolants.kernels import ACTIVATIONS, layer_statistics
from interpolants.sciml import SignalPropagation
from interpolants.sciml.theory import signal_propagation as module
from interpolants.sciml.theory.deep_classifier import _drawn
from interpolants.sciml.theory.sampled_networks import Ensemble
from interpolants.sciml.theory.theory_questions import DeepTraining, TheoryAgainstNetworks


def inputs(n=40, d=10, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def test_answers_are_the_recursion_of_each_row():
    x = inputs()
    model = SignalPropagation(activation="erf", depth=4, weight_variance=1.3, bias_variance=0.2).fit(x)
    found = model.propagate(x[:3])
    for row, kernels in zip(x, found, strict=False):
        known = layer_statistics(
            "erf", 4, mean_square=(row**2).mean(), weight_variance=1.3, bias_variance=0.2
        )
        np.testing.assert_allclose(kernels, known.kernel, rtol=1e-12)


def test_statistics_are_those_of_drawn_networks():
    """One statistic of each kind at width 20: corrections of order 1 / width are allowed for."""
    x = inputs()
    model = SignalPropagation(activation="tanh", depth=3, width=20, weight_rate=1.0, bias_rate=0.5).fit(x)
    task = Task.of([Role(name="x")], {"x": x}, Split(by="none"))
    found = ask(TheoryAgainstNetworks(networks=4000), model, task)
    assert found["excess"].value < 1
    assert found["kernel_gap"].value < 0.05
    spread = model.statistics.tangent_spread(20)
    assert found["tangent_spread"].value == float(spread[2]) > float(spread[0])


def test_a_wrong_theory_is_found_out(monkeypatch):
    x = inputs()
    model = SignalPropagation(activation="tanh", depth=3, width=20).fit(x)
    right = module.layer_statistics

    def wrong(*args, **settings):
        found = right(*args, **settings)
        return replace(found, b=2 * found.b)

    monkeypatch.setattr(module, "layer_statistics", wrong)
    task = Task.of([Role(name="x")], {"x": x}, Split(by="none"))
    assert ask(TheoryAgainstNetworks(networks=500), model, task)["excess"].value > 2


@pytest.mark.slow
def own_tanh(z):
    """A function of a user's own."""
    return (z.exp() - (-z).exp()) / (z.exp() + (-z).exp())


def test_an_activation_of_a_users_own_is_as_good_as_a_named_one(tmp_path):
    """All that a named activation answers, its drawn networks and their training too, which ended in ``KeyError``."""
    x = inputs()
    model, named = (SignalPropagation(activation=s, depth=3, width=20).fit(x) for s in (own_tanh, "tanh"))
    assert model.ensemble.activation.call is own_tanh
    drawn, known = (one.ensemble.statistics(1.0, 20) for one in (model, named))
    for name, layers in drawn.items():
        assert [e.value for e in layers] == pytest.approx([e.value for e in known[name]], rel=1e-6, abs=1e-12)
    task = Task.of([Role(name="x")], {"x": x}, Split(by="none"))
    scores = [ask(TheoryAgainstNetworks(networks=20), one, task)["excess"].value for one in (model, named)]
    assert scores[0] == pytest.approx(scores[1], rel=1e-6)
    assert (
        "No initialisation is critical for <lambda>."
        in SignalPropagation(
            activation=lambda z: torch.sigmoid(z), depth=2, weight_variance=1.0, bias_variance=0.0
        )
        .fit(x)
        .diagnosis
    )
    folder = model.save(tmp_path / "m")
    again = interpolants.load(folder, activation=own_tanh)
    np.testing.assert_array_equal(again.propagate(x), model.propagate(x))


@pytest.mark.slow
def test_differences_shrink_with_the_width():
    """B and F of ReLU at 4,000 networks of width 60 and 2,000 of 120."""
    gaps = []
    theory = layer_statistics("relu", 5, mean_square=0.5, weight_variance=2.0, bias_rate=0.5)
    for width, networks in ((60, 4000), (120, 2000)):
        ensemble = Ensemble(ACTIVATIONS["relu"], 5, width, 2.0, 0.0, 1.0, 0.5)
        drawn = ensemble.statistics(0.5, networks)
        gaps.append([(drawn[name][-1].value / float(getattr(theory, name)[-1]) - 1) for name in ("b", "f")])
        for name in ("kernel", "vertex", "tangent", "a", "b", "d", "f"):
            one, said = drawn[name][-1], float(getattr(theory, name)[-1])
            assert abs(one.value - said) < 3 * one.error + 0.1 * abs(said)
    assert 0 < gaps[1][0] < 0.75 * gaps[0][0]  # half of it, with an error of a fifth


def test_critical_networks_learn_and_faded_ones_do_not():
    x = inputs(600, 8)
    y = (x[:, 0] > 0).astype(int)
    task = Task.of([Role(name="x"), Role(name="y", kind="labels")], {"x": x, "y": y}, Split(test=200))
    model = SignalPropagation(activation="tanh", depth=20, width=30)
    task.fit(model)
    question = DeepTraining(steps=150, networks=1)
    faded = {"name": "faded", "twin": {"weight_variance": 0.3, "bias_variance": 0.0}}
    found = ask(question, model, task, [faded])["accuracy"]
    assert found.value > 0.85
    assert found.rivals["faded"] < 0.65


def test_diagnosis_tells_of_fading_and_of_depth_over_width():
    faded = SignalPropagation(depth=30, width=20, weight_variance=1 / 3, bias_variance=0.0).fit(inputs())
    told = " ".join(faded.diagnosis)
    assert "changes by a factor of" in told
    assert float(faded.statistics.kernel[-1]) < 1e-12
    assert "Depth is above width" in told
    gelu = SignalPropagation(activation="gelu").fit(inputs())
    assert "half-stable" in " ".join(gelu.diagnosis)
    sigmoid = SignalPropagation(activation="sigmoid", depth=3, weight_variance=1.0, bias_variance=0.0).fit(
        inputs()
    )
    assert "No initialisation is critical" in " ".join(sigmoid.diagnosis)


def test_tables_get_names_of_layers():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(inputs(5, 3), columns=list("abc"), index=list("vwxyz"))
    answer = SignalPropagation(depth=2).fit(table).propagate(table)
    assert list(answer.columns) == ["layer_1", "layer_2"]
    assert list(answer.index) == list("vwxyz")


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"activation": "sigmoid"}, "both 1 nowhere"),
        ({"activation": "thanh"}, "tanh"),
        ({"weight_variance": 1.0}, "both be 'critical' or both numbers"),
    ],
)
def test_bad_settings(settings, rule):
    with pytest.raises(InvalidInputError, match=rule):
        SignalPropagation(**settings)


def test_bad_rows():
    x = inputs()
    x[3] = 0
    with pytest.raises(InvalidInputError, match="1 of 40 rows of zeros"):
        SignalPropagation().fit(x)
    assert SignalPropagation(weight_variance=1.0, bias_variance=0.1, depth=2).fit(x).is_fitted
    x[3] = math.nan
    with pytest.raises(InvalidInputError):
        SignalPropagation().fit(x)


def test_labels_are_asked_for():
    x = torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
    task = Task.of([Role(name="x"), Role(name="y")], {"x": x, "y": x[:, :1]}, Split(test=10))
    model = SignalPropagation(depth=2, width=4)
    model.fit(task.train["x"])
    with pytest.raises(InvalidInputError, match="labels"):
        ask(DeepTraining(steps=1, networks=1), model, task)


def test_drawn_classifiers_have_the_variances_of_the_ensemble():
    ensemble = Ensemble(ACTIVATIONS["tanh"], 2, 400, weight_variance=2.0, bias_variance=0.04)
    weights, biases = _drawn(ensemble, [50, 400, 400], torch.Generator().manual_seed(0))
    for weight, bias in zip(weights, biases, strict=True):
        assert float(weight.detach().var() * weight.shape[1]) == pytest.approx(2.0, rel=0.05)
        assert float(bias.detach().std()) == pytest.approx(0.2, rel=0.15)
