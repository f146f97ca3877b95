"""Flow maps from the trajectories of a teacher: exact Gaussian teachers, bridges, imports, refusals."""

import math

import pytest
import torch
from torch.testing import assert_close

import interpolants
from interpolants.fields.learned import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import AssumptionWarning, FitWarning
from interpolants.framework.capabilities import NotAbleError
from interpolants.methods import Bridge, FlowMap, Imported
from interpolants.methods.flow_map.trajectories import (
    Trajectories,
    TrajectoryBatches,
    one_step_gap,
    pair_of_times,
    trajectory_loss,
)
from interpolants.paths import VP, OneSidedLinear
from methods.gaussian_flow import DOUBLE, crossed

FLOW = crossed()
MEAN, STD = torch.tensor([1.5, -0.5]), torch.tensor([0.4, 2.0])
SMALL = {"net": {"kind": "mlp", "width": 32, "depth": 2}, "batch_size": 128, "lr": 1e-2, "ema": 0.98}
FEW = {**SMALL, "steps": 20, "trajectories": 256}


class Velocity(torch.nn.Module):
    """Exact velocity from N(0, I) to N(mean, diag(std^2)) along ``(1 - t) x0 + t x1``."""

    def __init__(self, mean=MEAN, std=STD):
        super().__init__()
        self.mean, self.std = torch.nn.Parameter(mean), torch.nn.Parameter(std)

    def forward(self, x, t, cond=None):
        t = torch.as_tensor(t).expand(len(x))[:, None]
        scale = ((1 - t) ** 2 + (t * self.std) ** 2).sqrt()
        rate = (t * self.std**2 - (1 - t)) / scale
        return self.mean + rate / scale * (x - t * self.mean)


def exact(**how):
    return Imported(LearnedFields(OneSidedLinear(), velocity=Velocity(**how)), shape=(2,))


@pytest.fixture(scope="module")
def learnt():
    return FlowMap(**SMALL, steps=800, trajectories=4000).fit(model=exact())


def exact_trajectories(n=200, steps=8):
    x, _ = FLOW.draw(n, torch.Generator().manual_seed(0))
    times = torch.linspace(0, 1, steps + 1, dtype=DOUBLE)
    return Trajectories(times, torch.stack([FLOW.jump(x, 0.0, t) for t in times]))


# --- the loss


@pytest.mark.parametrize("both", [True, False])
def test_loss_and_gradient_vanish_at_the_exact_map(both):
    batch = TrajectoryBatches(exact_trajectories(), 500, both)(1, torch.Generator().manual_seed(1), 0, 1)
    theta = torch.zeros(2, dtype=DOUBLE, requires_grad=True)
    net = lambda x, s, t: FLOW.velocity(x, s, t) + theta * x  # noqa: E731
    loss = trajectory_loss(net, batch, torch.Generator())["trajectories"]
    (slope,) = torch.autograd.grad(loss.sum(), theta)
    assert loss.shape == (500,)
    assert_close(loss, torch.zeros_like(loss), atol=1e-20, rtol=0)
    assert_close(slope, torch.zeros_like(slope), atol=1e-10, rtol=0)


def test_the_loss_of_a_wrong_map_is_its_error_squared():
    batch = TrajectoryBatches(exact_trajectories(), 500, True)(1, torch.Generator().manual_seed(1), 0, 1)
    c = torch.tensor([0.3, -0.2], dtype=DOUBLE)
    net = lambda x, s, t: FLOW.velocity(x, s, t) + c  # noqa: E731
    loss = trajectory_loss(net, batch, torch.Generator())["trajectories"]
    assert_close(loss, (c @ c).expand(500))


@pytest.mark.parametrize("both", [True, False])
def test_pairs_lie_on_one_trajectory_at_two_times_in_the_directions_asked_for(both):
    data = exact_trajectories()
    batch = TrajectoryBatches(data, 4000, both)(1, torch.Generator().manual_seed(2), 0, 1)
    s, t = batch["s"], batch["t"]
    assert bool((s != t).all())
    ahead = float((s < t).double().mean())
    assert ahead == 1 if not both else abs(ahead - 0.5) < 4 * 0.5 / math.sqrt(4000)
    assert_close(batch["end"], batch["x"] + (t - s)[:, None] * FLOW.velocity(batch["x"], s, t))
    assert set(torch.cat([s, t]).tolist()) == set(data.times.tolist())


def test_half_of_the_pairs_are_uniform_in_their_distance():
    s, t = pair_of_times(torch.rand(40_000, dtype=DOUBLE), torch.Generator().manual_seed(0), two_way=False)
    assert bool(((s >= 0) & (t <= 1) & (s <= t)).all())
    # P(t - s > 1/2) is 1/2 for distances uniform in [0, 1], and 1/4 for pairs uniform over the triangle.
    assert float((t - s > 0.5).double().mean()) == pytest.approx(3 / 8, abs=4 * 0.5 / 200)


def test_the_gap_is_the_error_of_one_jump_over_the_way():
    data, c = exact_trajectories(), torch.tensor([0.3, -0.2], dtype=DOUBLE)
    way = (data.states[-1] - data.states[0]).square().mean().sqrt()
    found = one_step_gap(lambda x, s, t: FLOW.velocity(x, s, t) + c, data)
    assert found == pytest.approx(float(c.square().mean().sqrt() / way))


def test_stored_states_are_those_of_the_flow():
    x = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    found = Trajectories.of(exact().fields, x, None, 64)
    scale = ((1 - found.times[:, None]) ** 2 + (found.times[:, None] * STD) ** 2).sqrt()
    truth = found.times[:, None, None] * MEAN + scale[:, None] * x
    assert float((found.states - truth).abs().max()) < 2e-3  # of second order in steps of 1/64
    seen, unseen = found.rows(slice(0, 50)), found.rows(slice(50, None))
    assert_close(torch.cat([seen.states, unseen.states], 1), found.states)


# --- maps of teachers


def test_a_map_of_an_exact_teacher_reaches_the_closed_form(learnt):
    x = torch.randn(2000, 2, generator=torch.Generator().manual_seed(5))
    truth = MEAN + STD * x
    way = (truth - x).square().mean().sqrt()
    for n_steps in (1, 2, 4):
        assert float((learnt.transport(x, n_steps=n_steps) - truth).square().mean().sqrt() / way) < 0.08
    back = learnt.transport(truth, n_steps=1, reverse=True)
    assert float((back - x).square().mean().sqrt() / way) < 0.1
    assert learnt.agreement(x)["one_step_gap"] < 0.08
    assert learnt.state["gaps"]["held_out_gap"] < 0.08


def test_the_flow_of_the_map_is_that_of_its_teacher(learnt):
    x, t = torch.randn(20, 2, generator=torch.Generator().manual_seed(6)), torch.tensor(0.3)
    assert torch.equal(learnt.fields.velocity(x, t), exact().fields.velocity(x, t))
    assert torch.equal(learnt.teacher.sample(10, seed=3), exact().sample(10, seed=3))


def test_a_saved_map_keeps_its_teacher(learnt, tmp_path):
    again = interpolants.load(learnt.save(tmp_path / "map"), velocity=Velocity())
    assert torch.equal(again.sample(10, seed=1, n_steps=2), learnt.sample(10, seed=1, n_steps=2))
    assert torch.equal(again.teacher.sample(10, seed=1), learnt.teacher.sample(10, seed=1))


def test_the_teacher_is_a_copy():
    x = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    bridge = Bridge(path="one_sided_linear", **SMALL, steps=5, held_out=0).fit(x1=x)
    flow = FlowMap(**FEW).fit(model=bridge)
    before = flow.teacher.sample(5, seed=0)
    bridge.fit(x1=x + 100, steps=1)
    assert torch.equal(flow.teacher.sample(5, seed=0), before)


def test_a_map_of_a_bridge_answers_like_the_bridge():
    pandas = pytest.importorskip("pandas")
    draws = torch.Generator().manual_seed(0)
    table = pandas.DataFrame(100 + torch.randn(400, 2, generator=draws).numpy(), columns=["a", "b"])
    names = ["left" if k % 2 else "right" for k in range(400)]
    bridge = Bridge(path="one_sided_linear", **SMALL, steps=20, held_out=0).fit(x1=table, cond=names)
    flow = FlowMap(**FEW).fit(model=bridge)
    drawn = flow.sample(6, cond="left")
    assert list(drawn.columns) == ["a", "b"]
    assert abs(float(drawn.to_numpy().mean()) - 100) < 10
    with pytest.raises(InvalidInputError, match="Did you mean 'left'"):
        flow.sample(6, cond="leftt")
    with pytest.raises(InvalidInputError, match="needs it in every call"):
        flow.sample(6)


@pytest.mark.slow
def test_labels_of_the_teacher_lead_to_their_own_ends():
    draws = torch.Generator().manual_seed(4)
    labels = torch.arange(600) % 2
    x1 = 0.1 * torch.randn(600, 2, generator=draws) + torch.tensor([[-2.0, 0.0], [2.0, 0.0]])[labels]
    bridge = Bridge(path="one_sided_linear", **SMALL, steps=400).fit(x1=x1, cond=labels)
    flow = FlowMap(**SMALL, steps=400).fit(model=bridge)
    assert float(flow.sample(100, n_steps=1, cond=0, seed=0)[:, 0].mean()) < -1.5
    assert float(flow.sample(100, n_steps=1, cond=1, seed=0)[:, 0].mean()) > 1.5


def test_a_bridge_between_two_sets_brings_its_own_starts():
    draws = torch.Generator().manual_seed(0)
    x0, x1 = 5 + torch.randn(300, 2, generator=draws), -5 + torch.randn(300, 2, generator=draws)
    bridge = Bridge(path="linear", **SMALL, steps=300, held_out=0).fit(x0, x1)
    flow = FlowMap(**{**FEW, "steps": 300}).fit(model=bridge)
    assert_close(flow.sample(500, n_steps=1, seed=1).mean(0), torch.tensor([-5.0, -5.0]), atol=0.7, rtol=0)
    moved = flow.transport(x0, n_steps=1)
    assert float((moved - bridge.transport(x0)).square().mean().sqrt()) < 1.5  # the way is 14


def test_without_a_model_the_rule_trains_one_first():
    x = 3 + torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
    flow = FlowMap(path="one_sided_linear", rule="trajectories", **FEW).fit(x1=x)
    assert isinstance(flow.teacher, Bridge)
    assert [flow.about["history"][name][-1]["step"] for name in ("match",)] == [10]
    assert flow.teacher.steps == 10
    assert flow.sample(4).shape == (4, 2)


def test_an_imported_diffusion_is_moved_to_the_path_asked_for():
    class Denoised(torch.nn.Module):
        """E[x1 | x_t] of N(mean, std^2) along VP, whose noise is alpha and whose signal beta."""

        def __init__(self):
            super().__init__()
            self.unused = torch.nn.Parameter(torch.zeros(()))

        def forward(self, x, t, cond=None):
            a, b = (f(torch.as_tensor(t).expand(len(x)))[:, None] for f in (VP().alpha, VP().beta))
            return MEAN + b * STD**2 / (b**2 * STD**2 + a**2) * (x - b * MEAN) + self.unused

    model = Imported(LearnedFields(VP(), denoised=Denoised()), shape=(2,))
    flow = FlowMap(path="one_sided_linear", **{**SMALL, "steps": 500}, trajectories=3000).fit(model=model)
    x = torch.randn(1000, 2, generator=torch.Generator().manual_seed(5))
    truth = MEAN + STD * x
    off = (flow.transport(x, n_steps=1) - truth).square().mean().sqrt() / (truth - x).square().mean().sqrt()
    assert float(off) < 0.12
    assert isinstance(flow.fields.path, OneSidedLinear)


# --- densities


class ExactMap(torch.nn.Module):
    """The exact average velocity of :class:`Velocity`, perturbed by ``bend sin x``."""

    def __init__(self, bend=0.0):
        super().__init__()
        self.bend = torch.nn.Parameter(torch.tensor(bend, dtype=DOUBLE))

    def forward(self, x, s, t):
        s, t = (torch.as_tensor(a, dtype=x.dtype).expand(len(x))[:, None] for a in (s, t))
        first, last = (((1 - a) ** 2 + (a * STD) ** 2).sqrt() for a in (s, t))
        rate = ((t + s) * (1 + STD**2) - 2) / (first * (first + last))
        return MEAN + rate * (x - s * MEAN) + self.bend * torch.sin(x)


def with_map(net, **settings):
    """A map with the given network, without any training of it."""
    flow = FlowMap(net=net, steps=1, lr=1e-12, ema=None, trajectories=128, batch_size=4, **settings)
    model = Imported(
        LearnedFields(OneSidedLinear(), velocity=Velocity(MEAN.double(), STD.double())), shape=(2,)
    )
    return flow.fit(model=model)


@pytest.mark.parametrize("directions", ["both", "forward"])
@pytest.mark.parametrize("n_steps", [1, 3])
def test_the_density_of_the_exact_map_is_that_of_the_gaussian(directions, n_steps):
    x = MEAN + STD * torch.randn(70, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(7))
    truth = torch.distributions.Normal(MEAN.double(), STD.double()).log_prob(x).sum(1)
    flow = with_map(ExactMap(), directions=directions)
    assert_close(flow.log_prob(x, n_steps=n_steps), truth, atol=1e-6, rtol=1e-6)


def test_the_density_is_that_of_the_samples_and_not_of_the_flow():
    flow = with_map(ExactMap(bend=0.2))
    z = torch.linspace(-4, 4, 61, dtype=DOUBLE)
    grid = torch.cartesian_prod(MEAN[0] + z, MEAN[1] + 3 * z)
    density = flow.log_prob(grid, n_steps=2).exp()
    cell = (z[1] - z[0]) * 3 * (z[1] - z[0])
    assert float(density.sum() * cell) == pytest.approx(1, abs=0.01)
    drawn = flow.sample(20_000, n_steps=2, seed=0).double()
    for k in range(2):
        mean = float((density * grid[:, k]).sum() * cell)
        assert abs(float(drawn[:, k].mean()) - mean) < 4 * float(drawn[:, k].std()) / 20_000**0.5 + 0.01


def test_where_the_map_folds_the_density_is_unknown_and_told():
    flow = with_map(ExactMap(bend=-3.0))
    x = MEAN + STD * torch.randn(70, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(7))
    with pytest.warns(AssumptionWarning, match="not invertible at"):
        density = flow.log_prob(x, n_steps=1)
    assert bool(density.isnan().any())


def test_a_density_of_a_row_does_not_depend_on_the_others(learnt):
    x = MEAN + STD * torch.randn(100, 2, generator=torch.Generator().manual_seed(8))
    assert_close(learnt.log_prob(x)[70:71], learnt.log_prob(x[70:71]), atol=1e-5, rtol=1e-5)


def test_densities_that_there_are_not_say_why():
    draws = torch.Generator().manual_seed(0)
    x0, x1 = torch.randn(2, 100, 2, generator=draws)
    two_sided = FlowMap(net=SMALL["net"], steps=2).fit(x0, x1)
    with pytest.raises(NotAbleError, match="density of the samples at t = 0 is unknown"):
        two_sided.log_prob(x1)
    wide = FlowMap(path="one_sided_linear", net=SMALL["net"], steps=2).fit(
        x1=torch.randn(100, 60, generator=draws)
    )
    with pytest.raises(NotAbleError, match="60 are more than 50"):
        wide.log_prob(torch.zeros(1, 60))


# --- refusals


class NotFinite(Velocity):
    def forward(self, x, t, cond=None):
        late = torch.as_tensor(t).expand(len(x))[:, None] > 0.55
        return torch.where(late & (x > 1.5), torch.nan, super().forward(x, t))


@pytest.mark.parametrize(
    ("settings", "given", "words"),
    [
        ({}, {}, "x1 is needed without a model"),
        ({"rule": "semigroup"}, {"model": "exact"}, "'model'"),
        ({}, {"model": "exact", "x1": torch.zeros(4, 2)}, "x1 must not be passed with a model"),
        ({}, {"model": "unfitted"}, "must be a fitted method"),
        ({"path": "trigonometric"}, {"model": "exact"}, "path"),
        ({}, {"model": "nan"}, r"must be finite, got start \d+ at t = 0.56"),
        (
            {"rule": "trajectories", "net": torch.nn.Linear(2, 2)},
            {"x1": torch.randn(200, 2)},
            "net must be a name",
        ),
        ({"trajectories": 20}, {"model": "exact"}, "trajectories"),
    ],
)
def test_bad_requests_are_refused(settings, given, words):
    models = {
        "exact": exact,
        "unfitted": lambda: Bridge(path="one_sided_linear"),
        "nan": lambda: Imported(LearnedFields(OneSidedLinear(), velocity=NotFinite()), shape=(2,)),
    }
    given = {name: models[value]() if isinstance(value, str) else value for name, value in given.items()}
    path = {} if "model" in given else {"path": "one_sided_linear"}
    with pytest.raises(InvalidInputError, match=words):
        FlowMap(**{**FEW, **path, **settings}).fit(**given)


def test_a_map_learnt_alone_has_no_teacher():
    x = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    flow = FlowMap(path="one_sided_linear", net=SMALL["net"], steps=2).fit(x1=x)
    with pytest.raises(InvalidInputError, match="must have a teacher"):
        _ = flow.teacher


def test_few_trajectories_learnt_by_heart_are_told():
    velocity = Velocity(torch.zeros(12), torch.linspace(0.2, 3, 12))
    model = Imported(LearnedFields(OneSidedLinear(), velocity=velocity), shape=(12,))
    wide = {"kind": "mlp", "width": 128, "depth": 3}
    flow = FlowMap(net=wide, lr=5e-3, ema=0.9, steps=200, batch_size=64, trajectories=128)
    with pytest.warns(FitWarning, match="Use more trajectories, e.g. trajectories=256"):
        flow.fit(model=model)
