"""Rules that weigh clusters of times: numbers by hand, fixed points, invariances; in training and on resume."""

import math
import signal

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from interpolants.foundations import registry
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import FitWarning
from interpolants.methods import Bridge
from interpolants.objectives.time_clusters import TimeClusters
from interpolants.paths import VP, Linear, OneSidedLinear
from interpolants.training.aggregates import StepContext
from interpolants.training.losses import sum_of_means
from interpolants.training.multi_task import (
    MinSNR,
    NashMTL,
    PCGrad,
    TaskWeights,
    UncertaintyWeighting,
    _of_gradients,
    nash_weights,
    pcgrad_weights,
)
from interpolants.training.world import World

CUT = TimeClusters((0.5,))
RULES = {
    name: entry
    for name, entry in registry.members("aggregate").items()
    if isinstance(entry, type) and issubclass(entry, TaskWeights)
}


class Weights(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([1.0, 2.0]))


def context(t, net=None, step=1):
    net = Weights() if net is None else net
    return StepContext(step, {"t": t}, net, dict(net.named_parameters()), 0, World(torch.device("cpu")))


def frozen(first, second):
    t = torch.tensor([0.1, 0.2, 0.7, 0.8])
    return {"velocity": torch.tensor([first, first, second, second])}, context(t)


# --- weights from products -----------------------------------------------------------------------------------


def test_pcgrad_projects_the_gradients_of_the_paper_by_hand():
    g = torch.tensor([[1.0, 0.0], [-1.0, 1.0]]).double()
    weights = pcgrad_weights(g @ g.T)
    assert_close(weights @ g, torch.tensor([0.5, 0.5]).double() + torch.tensor([0.0, 1.0]).double())


def test_pcgrad_without_a_conflict_is_the_plain_sum():
    g = torch.rand(4, 6, generator=torch.Generator().manual_seed(0)).double()
    assert_close(pcgrad_weights(g @ g.T), torch.ones(4).double())


def test_a_gradient_that_is_short_beside_others_takes_part():
    """Down to 1e-12 of the longest; ``c_i = 1 / |g_i|`` where gradients are orthogonal."""
    lengths = torch.tensor([1.0, 1.5e-12], dtype=torch.float64)
    assert_close(nash_weights(torch.diag(lengths.square())), 1 / lengths)


def test_nash_weights_solve_their_equation_and_no_scale_changes_the_update():
    source = torch.Generator().manual_seed(1)
    for _ in range(5):
        g = torch.randn(5, 30, generator=source).double()
        weights = nash_weights(g @ g.T)
        assert_close((g @ g.T) @ weights, 1 / weights)
        scaled = g * torch.tensor([1e-6, 1.0, 30.0, 0.1, 1e4]).double()[:, None]
        assert_close(nash_weights(scaled @ scaled.T) @ scaled, weights @ g)
    assert_close(
        nash_weights(torch.diag(torch.tensor([4.0, 0.25]).double())), torch.tensor([0.5, 2.0]).double()
    )


def test_nash_lets_opposite_gradients_cancel():
    """No weights solve the equation; a third task goes its way all the same."""
    g = torch.tensor([[3.0, 0.0], [-0.5, 0.0], [0.0, 2.0]]).double()
    weights = nash_weights(g @ g.T)
    assert bool((weights > 0).all())
    assert_close(weights @ g, torch.tensor([0.0, 1.0]).double(), rtol=0, atol=1e-6)


def test_nash_leaves_out_a_task_without_a_gradient():
    with pytest.warns(FitWarning):
        weights = nash_weights(torch.tensor([[4.0, 0.0], [0.0, 0.0]]).double())
    assert_close(weights, torch.tensor([0.5, 0.0]).double())
    with pytest.warns(FitWarning):  # of a length that rounding has made a square below 0
        weights = nash_weights(torch.tensor([[4.0, 0.0], [0.0, -1e-20]]).double())
    assert_close(weights, torch.tensor([0.5, 0.0]).double())


# --- aggregates ----------------------------------------------------------------------------------------------


def test_uncertainty_weights_tend_to_one_over_twice_the_loss():
    rule = UncertaintyWeighting(CUT, lr=0.05)
    for step in range(1, 3001):
        losses, at = frozen(0.2, 5.0)
        rule(losses, context=StepContext(step, at.batch, at.modules, at.parameters, 0, at.world))
    assert_close(rule.weights, torch.tensor([1 / 0.4, 1 / 10.0]).double(), rtol=0.01, atol=0)
    assert rule.numbers()["loss_1"] == pytest.approx(5.0)


def test_the_logarithms_of_uncertainty_weighting_move_by_adam():
    """As PyTorch moves them, down the sum of ``(exp(-s) l + s) / 2``, for losses that vary."""
    rule, s = UncertaintyWeighting(CUT, lr=0.3), nn.Parameter(torch.zeros(2, dtype=torch.float64))
    adam = torch.optim.Adam([s], lr=0.3)
    for step in range(1, 31):
        losses, at = frozen(0.5 + 0.4 * math.sin(step), 3.0 * step)
        total = rule(losses, context=at)
        means = losses["velocity"][[0, 2]].double()
        assert_close(rule.weights, (-s.detach()).exp() / 2)
        assert_close(total.double(), rule.weights @ means, rtol=1e-6, atol=0)
        adam.zero_grad()
        ((-s).exp() * means + s).sum().div(2).backward()
        adam.step()


def test_negative_losses_are_refused_by_uncertainty_weighting():
    losses, at = frozen(-1.0, 2.0)
    with pytest.raises(InvalidInputError, match="losses must be >= 0"):
        UncertaintyWeighting(CUT)(losses, context=at)


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_cluster_without_rows_in_a_batch_is_no_news_of_it(rule):
    """Losses of 1 and 1, where every other batch has rows of one cluster alone: the absent one counted as loss 0."""
    made, net = rule(CUT), Weights()
    for step in range(1, 1001):
        t = torch.tensor([0.1, 0.2, 0.7, 0.8] if step % 2 else [0.1, 0.2, 0.3, 0.4])
        # Rows of the second cluster depend on w_1, the others on w_0: gradients of one length, orthogonal.
        loss = torch.where(t > 0.5, net.w[1] - 1, net.w[0])
        made({"velocity": loss}, context=context(t, net, step))
    assert made.numbers()["loss_1"] == pytest.approx(1.0)
    assert_close(made.weights[0], made.weights[1], rtol=0.02, atol=0)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_cluster_that_comes_late_counts_from_then_on(rule):
    made, net = rule(CUT), Weights()
    for step in range(1, 8):
        t = torch.tensor([0.1, 0.2, 0.3, 0.4] if step < 5 else [0.1, 0.2, 0.7, 0.8])
        made({"velocity": torch.where(t > 0.5, net.w[1] - 1, net.w[0])}, context=context(t, net, step))
    assert float(made.weights[1]) > 0.4
    again = rule(CUT)
    if hasattr(made, "state_dict"):
        again.load_state_dict(made.state_dict())
        assert all(torch.equal(again.state[name], value) for name, value in made.state.items())


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_batch_below_the_number_of_clusters_is_refused(rule):
    net, t = Weights(), torch.tensor([0.1, 0.8])
    with pytest.raises(InvalidInputError, match=r"batch_size must be at least the 5 clusters, got 2"):
        rule(5)({"velocity": net.w}, context=context(t, net))


def test_states_of_earlier_versions_are_taken_over():
    uncertainty = UncertaintyWeighting(CUT)
    uncertainty.load_state_dict({**uncertainty.state, "steps": torch.tensor(7.0)})
    assert uncertainty.state["steps"].tolist() == [7.0, 7.0]
    nash = NashMTL(CUT)
    nash.load_state_dict({"products": torch.eye(2), "weights": torch.ones(2)})
    assert nash.state["met"].bool().all()


@pytest.mark.parametrize("rule", [UncertaintyWeighting, PCGrad, NashMTL])
def test_one_cluster_is_plain_training(rule):
    losses, at = frozen(0.3, 0.7)
    losses["score"] = torch.tensor(0.25)
    assert torch.equal(rule(1)(losses, context=at), sum_of_means(losses))


def test_directions_are_those_of_the_gradients_by_hand():
    """Losses w . a_k per row: gradients are the mean a_k of each cluster."""
    net, t = Weights(), torch.tensor([0.1, 0.2, 0.7, 0.8])
    a = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 1.0], [-1.0, 1.0]])
    for rule, expected in ((PCGrad(CUT), [0.5, 1.5]), (NashMTL(CUT), None)):
        net.zero_grad()
        total = rule({"velocity": a @ net.w, "penalty": 0 * net.w.sum()}, context=context(t, net))
        total.backward()
        if expected is None:
            g = a[[0, 2]].double()
            expected = (nash_weights(g @ g.T) @ g).tolist()
        assert_close(net.w.grad, torch.tensor(expected))


def test_nash_keeps_its_weights_between_solutions():
    net, t = Weights(), torch.tensor([0.1, 0.8])
    rule = NashMTL(CUT, every=10)
    rule({"velocity": torch.stack([net.w[0], net.w[1]])}, context=context(t, net))
    before = rule.weights.clone()
    rule({"velocity": torch.stack([9 * net.w[0], net.w[1]])}, context=context(t, net, step=2))
    assert torch.equal(rule.weights, before)
    rule({"velocity": torch.stack([9 * net.w[0], net.w[1]])}, context=context(t, net, step=11))
    # Squared lengths of the gradients were 1, 1 and are 81, 1: half of each is remembered.
    assert_close(rule.weights, torch.tensor([41.0, 1.0]).double().rsqrt())
    other = NashMTL(CUT, every=10)
    other.load_state_dict(rule.state_dict())
    assert torch.equal(other.state["products"], rule.state["products"])


def test_min_snr_weighs_as_it_says():
    path, t = VP(), torch.tensor([0.05, 0.5, 0.99])
    snr = path.log_snr(t.double()).exp()
    loss = torch.ones(3)
    noise = MinSNR(path)({"noise": loss}, context=context(t))
    assert_close(noise.double(), (snr.clamp_max(5) / snr).mean(), rtol=1e-5, atol=0)
    end = MinSNR(path, quantity="denoised")({"denoised": loss}, context=context(t))
    assert_close(end.double(), snr.clamp_max(5).mean(), rtol=1e-5, atol=0)
    ends = context(torch.tensor([0.0, 1.0]))  # min(SNR, gamma) / SNR is 1 without signal, and 0 without noise
    assert float(MinSNR(OneSidedLinear())({"noise": torch.tensor([2.0, 7.0])}, context=ends)) == 1
    with pytest.raises(InvalidInputError, match="one-sided"):
        MinSNR(Linear())


# --- in a fit ------------------------------------------------------------------------------------------------

SMALL = {"net": {"kind": "mlp", "width": 16, "depth": 2}, "batch_size": 40, "seed": 0, "held_out": 0}
BALANCED = {"kind": "cluster_balanced", "clusters": 4}


def data(n=200):
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(0)) @ torch.tensor(
        [[1.0, 0.4], [0.0, 0.3]]
    )


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["uncertainty_weighting", "pcgrad", "nash_mtl", "min_snr"])
def test_a_bridge_trains_with_every_rule_and_one_cluster_changes_no_bit(rule):
    settings = {"path": "vp", "steps": 30, "times": BALANCED, **SMALL}
    table = rule if rule == "min_snr" else {"kind": rule, "clusters": 4}
    plain = Bridge(**settings).fit(x1=data(), progress=False)
    found = Bridge(aggregate=table, **settings).fit(x1=data(), progress=False)
    assert not torch.equal(found.sample(20, seed=1), plain.sample(20, seed=1))
    if rule != "min_snr":
        one = Bridge(aggregate={"kind": rule, "clusters": 1}, **settings).fit(x1=data(), progress=False)
        assert torch.equal(one.sample(20, seed=1), plain.sample(20, seed=1))


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["uncertainty_weighting", "nash_mtl"])
def test_the_state_of_a_rule_survives_a_checkpoint(rule, tmp_path):
    settings = {"path": "vp", "times": BALANCED, "aggregate": {"kind": rule, "clusters": 4}, **SMALL}
    whole = Bridge(steps=40, **settings).fit(x1=data(), progress=False)

    def stop(moment):
        if moment.step == 23:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        Bridge(steps=40, **settings).fit(x1=data(), progress=False, out=tmp_path / "run", callbacks=[stop])
    again = Bridge(steps=40, **settings).fit(x1=data(), progress=False, out=tmp_path / "run", resume=True)
    assert torch.equal(again.sample(20, seed=1), whole.sample(20, seed=1))


def test_products_found_at_different_steps_become_those_of_some_gradients():
    products = torch.tensor([[1.0, 2.0], [2.0, 1.0]]).double()  # eigenvalues 3 and -1
    found = _of_gradients(products, at_once=False)
    assert_close(found, torch.full((2, 2), 1.5).double())
    assert _of_gradients(products, at_once=True) is products


def test_unknown_rules_are_refused():
    with pytest.raises(InvalidInputError, match="Did you mean 'pcgrad'"):
        Bridge(aggregate="pcgrd")
    with pytest.raises(InvalidInputError, match="a name, a table or a function"):
        Bridge(aggregate=3)
