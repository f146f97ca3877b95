import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics import sample
from interpolants.foundations.errors import InvalidInputError
from interpolants.likelihood import log_prob
from interpolants.methods import RULES, FlowMap
from interpolants.methods.flow_map.rules import diagonal
from interpolants.methods.flow_map.two_time_net import TwoTimeNet
from interpolants.paths import Linear, OneSidedLinear, ZeroEnvelope
from interpolants.problems import GaussianMixture
from methods.gaussian_flow import DOUBLE, GaussianFlow, crossed

FLOW = crossed()
SMALL = {"kind": "mlp", "width": 64, "depth": 2}


def states(n=64, seed=0):
    draws = torch.Generator().manual_seed(seed)
    x = 2 * torch.randn(n, 2, dtype=DOUBLE, generator=draws)
    s, t = torch.rand(2, n, dtype=DOUBLE, generator=draws)
    return x, s, t


def perturbed(theta):
    """The exact average velocity plus a constant that vanishes on the diagonal, ``theta (t - s)``."""
    return lambda x, s, t: FLOW.velocity(x, s, t) + (t - s)[:, None] * theta


def features(theta):
    """The exact average velocity plus a combination of things that a wrong map may do, on the diagonal or off it."""

    def velocity(x, s, t):
        off = (t - s)[:, None]
        parts = torch.stack(
            [off + 0 * x, off * x, off * x.flip(1), off.square() * x, off * torch.sin(x), x], -1
        )
        return FLOW.velocity(x, s, t) + parts @ theta

    return velocity


# --- the closed form itself, against the exact fields and an adaptive solver


def test_the_closed_form_is_the_flow_of_the_exact_fields():
    x, _, _ = states(16)
    done = sample(FLOW.fields, x, method="dopri5", rtol=1e-10, atol=1e-10, start=0.2, stop=0.9).x
    assert_close(FLOW.jump(x, 0.2, 0.9), done, atol=1e-8, rtol=1e-8)
    assert_close(x + 0.7 * FLOW.velocity(x, 0.2, 0.9), done, atol=1e-8, rtol=1e-8)
    t = torch.tensor(0.3, dtype=DOUBLE)
    assert_close(FLOW.velocity(x, t, t), FLOW.fields.velocity(x, t))


# --- the rules at the exact map, and away from it


@pytest.mark.parametrize("name", RULES)
def test_loss_and_gradient_vanish_at_the_exact_map(name):
    x, s, t = states()
    theta = torch.zeros(6, dtype=DOUBLE, requires_grad=True)
    rate = FLOW.velocity(
        x, s, s
    )  # the mean of the rates, which makes the mean velocity's residual vanish too
    loss = RULES[name](features(theta), x, rate, s, t)
    (slope,) = torch.autograd.grad(loss.sum(), theta)
    assert loss.shape == (64,)
    assert_close(loss, torch.zeros_like(loss), atol=1e-20, rtol=0)
    assert_close(slope, torch.zeros_like(slope), atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", RULES)
def test_every_rule_measures_a_wrong_map_as_theory_says(name):
    # v + (t - s) c: X is off by (t - s)^2 c, and each rule's residual follows by hand.
    x, s, t = states()
    c = torch.tensor([0.3, -0.2], dtype=DOUBLE)
    off = (t - s)[:, None]
    zero = torch.zeros_like(x)

    def linear_part(a, b, y):
        centre = FLOW.mean(a[:, None])
        return FLOW.velocity(centre + y, a, b) - FLOW.velocity(centre + zero, a, b)

    middle = (s + t) / 2
    expected = {
        "lagrangian": 2 * off * c - linear_part(t, t, off.square() * c),
        "eulerian": 2 * off * c,
        "mean_velocity": 2 * off * c,
        "semigroup": off / 2 * c - linear_part(middle, t, off.square() / 4 * c) / 2,
    }[name]
    rate = FLOW.velocity(x, s, s)
    loss = RULES[name](perturbed(c), x, rate, s, t)
    assert_close(loss, expected.square().sum(1), atol=1e-12, rtol=1e-9)


def test_the_mean_velocity_rule_takes_the_rate_of_the_sample_along():
    # With another rate the residual gains rate's error e and (t - s) (e . grad) v: an affine v has both in closed form.
    x, s, t = states()
    e = torch.tensor([0.5, 1.0], dtype=DOUBLE)
    rate = FLOW.velocity(x, s, s)
    exact = lambda x, s, t: FLOW.velocity(x, s, t)  # noqa: E731
    slope = FLOW.velocity(x + e, s, t) - FLOW.velocity(x, s, t)
    expected = (e + (t - s)[:, None] * slope).square().sum(1)
    assert_close(RULES["mean_velocity"](exact, x, rate + e, s, t), expected)
    assert float(RULES["eulerian"](exact, x, rate + e, s, t).max()) < 1e-20


def mean_gradient(theta, name):
    """Mean over draws of the gradient with respect to theta and its standard error, with independent ends."""
    draws = torch.Generator().manual_seed(3)
    x0, x1 = FLOW.draw(20_000, draws)
    s, t = torch.rand(2, 20_000, dtype=DOUBLE, generator=draws)
    drawn = Linear(envelope=ZeroEnvelope()).sample(x0=x0, x1=x1, t=s)
    each = (
        theta.expand(20_000, 1, 6).clone().requires_grad_(True)
    )  # one theta per sample: one gradient per sample

    def velocity(x, s, t):
        off = (t - s)[:, None]
        parts = torch.stack(
            [off + 0 * x, off * x, off * x.flip(1), off.square() * x, off * torch.sin(x), x], -1
        )
        return FLOW.velocity(x, s, t) + (parts * each).sum(-1)

    if name == "diagonal":
        loss = diagonal(velocity, drawn.x_t, drawn.x_dot, s)
    else:
        loss = RULES[name](velocity, drawn.x_t, drawn.x_dot, s, t)
    (slope,) = torch.autograd.grad(loss.sum(), each)
    slope = slope[:, 0]
    return slope.mean(0), slope.std(0) / 20_000**0.5


@pytest.mark.parametrize("name", ["diagonal", "mean_velocity"])
def test_on_average_the_noisy_losses_are_stationary_at_the_exact_map(name):
    mean, error = mean_gradient(torch.zeros(6, dtype=DOUBLE), name)
    assert bool((mean.abs() <= 4 * error + 1e-12).all())
    away, error = mean_gradient(torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, 0.3], dtype=DOUBLE), name)
    assert float(away[5]) > 20 * float(error[5])


def test_the_teacher_gets_no_gradient():
    # On the diagonal theta acts in the teachers alone once the student is exact there: no rule may pass it on.
    x, s, t = states()
    theta = torch.tensor(0.1, dtype=DOUBLE, requires_grad=True)

    def velocity(x, s, t):
        on_diagonal = (s == t).to(x)[:, None]
        return FLOW.velocity(x, s, t) + on_diagonal * theta * x

    for name in ("lagrangian", "eulerian"):
        loss = RULES[name](velocity, x, FLOW.velocity(x, s, s), s, t).sum()
        assert float(loss.detach()) > 1e-3
        (slope,) = torch.autograd.grad(loss, theta, allow_unused=True)
        assert slope is None or float(slope) == 0.0, name


# --- learning


def learn(rule, steps=500, lr=1e-2, **settings):
    flow = GaussianFlow([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]], [1.0, -0.5], [[1.5, 0.5], [0.5, 0.6]])
    x0, x1 = (x.float() for x in flow.draw(20_000, torch.Generator().manual_seed(1)))
    train = {"steps": steps, "batch_size": 512, "lr": lr, "ema": 0.98, "warmup": 20}
    return flow, x0, FlowMap(rule=rule, net=SMALL, **train, **settings).fit(x0, x1)


def error_of(flow, learnt, x, s, t):
    """Root mean square error of a jump over that of staying where one is."""
    exact = flow.jump(x.double(), s, t)
    return float((learnt.jump(x, s, t) - exact).square().mean().sqrt() / (exact - x).square().mean().sqrt())


@pytest.fixture(scope="module")
def learnt():
    return learn("semigroup", diagonal=0.5)


def check_map(flow, x0, found, bound):
    # The bounds are about twice what was measured: the velocity's targets are noisy (standard deviation 1.4 for moves
    # of size 1.4), and a short training leaves some of it.
    assert error_of(flow, found, x0[:2000], 0.0, 1.0) < bound
    x1 = flow.jump(x0[:2000].double(), 0.0, 1.0).float()
    assert error_of(flow, found, x1, 1.0, 0.0) < bound
    half = flow.jump(x0[:2000].double(), 0.0, 0.3).float()
    assert error_of(flow, found, half, 0.3, 0.8) < bound


def test_a_short_training_reaches_the_closed_form(learnt):
    check_map(*learnt, bound=0.2)


@pytest.mark.slow  # half a minute together
@pytest.mark.parametrize("rule", ["lagrangian", "eulerian", "mean_velocity"])
def test_every_rule_reaches_the_closed_form(rule):
    check_map(*learn(rule, steps=1500, lr=3e-3), bound=0.3)


def test_the_learnt_map_composes(learnt):
    _, x0, found = learnt
    x = x0[:1000]
    apart = found.jump(found.jump(x, 0.0, 0.4), 0.4, 1.0) - found.jump(x, 0.0, 1.0)
    assert float(apart.square().mean().sqrt() / (found.jump(x, 0.0, 1.0) - x).square().mean().sqrt()) < 0.15
    numbers = found.agreement(x)
    assert numbers["one_step_gap"] < 0.2
    assert numbers["four_step_gap"] < 0.1
    assert numbers["round_trip"] < 0.3


def test_a_few_steps_are_the_jumps_one_after_the_other(learnt):
    _, x0, found = learnt
    x = x0[:256]
    by_hand = found.jump(found.jump(found.jump(x, 0.0, 0.25), 0.25, 0.5), 0.5, 1.0)
    assert_close(found.transport(x, times=[0.0, 0.25, 0.5, 1.0]), by_hand, atol=1e-5, rtol=1e-5)
    back = found.jump(found.jump(x, 1.0, 0.5), 0.5, 0.0)
    assert_close(found.transport(x, n_steps=2, reverse=True), back, atol=1e-5, rtol=1e-5)


def test_a_sample_does_not_depend_on_its_batch(learnt):
    _, x0, found = learnt
    assert torch.equal(found.transport(x0[:300])[7:8], found.transport(x0[7:8]))


def test_the_independence_of_rows_is_tried_once_and_not_in_every_call(learnt):
    calls, flow = [], learnt[2]
    hook = flow.state["net"].register_forward_hook(lambda *_: calls.append(1))
    flow.sample(20, n_steps=1)
    calls.clear()
    flow.sample(20, n_steps=1)
    hook.remove()
    assert len(calls) <= 2  # one for the sizes of layers, and the jump


def test_the_diagonal_serves_sampler_and_likelihood(learnt):
    flow, x0, found = learnt
    x, frame = x0[:500], found.state["frame"]
    end = flow.jump(x.double(), 0.0, 1.0)
    done = frame.decode(sample(found.fields, frame.encode(x), n_steps=50).x)
    assert float((done - end).square().mean().sqrt() / (end - x).square().mean().sqrt()) < 0.15
    one = torch.ones(1, dtype=DOUBLE)
    truth = GaussianMixture(one, flow.mean1[None], flow.cov1[None])
    scale = torch.as_tensor(frame.scale)
    base = GaussianMixture(
        one, ((flow.mean0 - frame.shift) / scale)[None], (flow.cov0 / scale.outer(scale))[None]
    )
    inside = frame.encode(end[:200].float())
    model = log_prob(found.fields, inside, base, n_steps=30).log_prob + frame.log_volume(inside)
    assert float((model - truth.log_prob(end[:200]).float()).abs().mean()) < 0.2


def test_a_network_of_ones_own_is_called_with_both_times():
    class Exact(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = torch.nn.Parameter(torch.zeros(()))

        def forward(self, x, s, t):
            return FLOW.velocity(x, s, t) + self.unused * x

    x0, x1 = FLOW.draw(500, torch.Generator().manual_seed(5))
    found = FlowMap(net=Exact(), steps=1, lr=1e-12, standardize=False).fit(x0, x1)
    assert_close(found.transport(x0, n_steps=1), FLOW.jump(x0, 0.0, 1.0), atol=1e-6, rtol=1e-6)
    assert found.agreement(x0)["one_step_gap"] < 1e-3  # 64 steps of Heun


def test_features_of_the_two_times_tell_all_pairs_apart():
    net = TwoTimeNet("mlp", (2,), seed=0)
    grid = torch.linspace(0, 1, 11)
    s, t = torch.cartesian_prod(grid, grid).unbind(1)
    phi = torch.cat([net.phi(s), net.phi(t - s)], 1)
    apart = torch.cdist(phi, phi) + 10 * torch.eye(len(phi))
    assert float(apart.min()) > 0.1


# --- refusals


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"path": Linear()}, "velocity must be finite at both ends"),
        ({"path": "mirror"}, "must move"),
        ({"stepss": 3}, "Did you mean 'steps'"),
        ({"steps": 0}, "steps"),
        ({"seed": -1}, "seed must be a whole number >= 0, got -1"),
        ({"coupling": "sinkhon"}, "Did you mean 'sinkhorn'"),
    ],
)
def test_bad_settings_are_refused(settings, words):
    with pytest.raises(InvalidInputError, match=words):
        FlowMap(**settings)


def test_bad_calls_are_refused(learnt):
    x = torch.zeros(4, 2)
    with pytest.raises(InvalidInputError, match="Call fit"):
        FlowMap().transport(x)
    with pytest.raises(InvalidInputError, match="x0 is needed"):
        FlowMap().fit(None, x)
    with pytest.raises(InvalidInputError, match="x0"):
        FlowMap(path="one_sided_linear").fit(x, x)
    with pytest.raises(InvalidInputError, match="same event shape"):
        FlowMap().fit(torch.zeros(4, 3), x)
    with pytest.raises(InvalidInputError, match="x1 must be finite"):
        FlowMap().fit(x, x / 0)
    with pytest.raises(InvalidInputError, match=r"t must lie in \[0, 1\]"):
        learnt[2].jump(x, 0.0, 1.5)
    forward = FlowMap(path=OneSidedLinear(), directions="forward", net=SMALL, steps=1)
    forward.fit(x1=torch.randn(50, 2))
    with pytest.raises(InvalidInputError, match="both directions"):
        forward.transport(x, reverse=True)
    with pytest.raises(InvalidInputError, match="t must be >= s"):
        forward.jump(x, 1.0, 0.5)


def test_jumps_begin_and_end_where_they_are_told_to(learnt):
    _, x0, found = learnt
    x = x0[:64]
    wanted = found.jump(found.jump(x, 0.2, 0.4), 0.4, 0.6)
    assert_close(found.transport(x, times=[0.2, 0.4, 0.6]), wanted, atol=1e-5, rtol=1e-5)
    back = found.transport(x, times=[0.6, 1.0], reverse=True)
    assert_close(back, found.jump(x, 1.0, 0.6), atol=1e-5, rtol=1e-5)


def test_samples_start_from_stored_rows_or_from_the_base(learnt):
    flow, _, found = learnt
    drawn = found.sample(2000, seed=3)
    assert torch.equal(drawn[:10], found.sample(10, seed=3))
    assert torch.equal(drawn[100:], found.sample(1900, seed=3, first_index=100))
    error = 4 * flow.cov1.diagonal().sqrt() / 2000**0.5
    assert bool(((drawn.mean(0) - flow.mean1).abs() < error + 0.1).all())


@pytest.mark.slow
def test_labels_lead_to_their_own_ends():
    draws = torch.Generator().manual_seed(4)
    labels = torch.arange(600) % 2
    x1 = 0.1 * torch.randn(600, 2, generator=draws) + torch.tensor([[-2.0, 0.0], [2.0, 0.0]])[labels]
    names = ["left" if k == 0 else "right" for k in labels.tolist()]
    found = FlowMap(path="one_sided_linear", net=SMALL, steps=400, lr=1e-2, ema=0.98).fit(x1=x1, cond=names)
    assert float(found.sample(100, cond="left", seed=0)[:, 0].mean()) < -1
    assert float(found.sample(100, cond="right", seed=0)[:, 0].mean()) > 1
    with pytest.raises(InvalidInputError, match="Did you mean 'left'"):
        found.sample(2, cond="leftt")


def test_the_gap_of_a_map_is_its_error_over_the_way():
    """``v + (t - s) c`` has the exact flow on its diagonal, and its one jump is off by c."""
    c = torch.tensor([0.3, -0.2], dtype=DOUBLE)

    class Off(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = torch.nn.Parameter(torch.zeros(()))

        def forward(self, x, s, t):
            return perturbed(c)(x, s, t) + self.unused * x

    x0, x1 = FLOW.draw(500, torch.Generator().manual_seed(5))
    found = FlowMap(net=Off(), steps=1, lr=1e-12, standardize=False).fit(x0, x1).agreement(x0)
    way = (FLOW.jump(x0, 0.0, 1.0) - x0).flatten()
    assert found["one_step_gap"] == pytest.approx(
        float(c.norm() / 2**0.5 / (way @ way / len(way)) ** 0.5), rel=1e-3
    )
