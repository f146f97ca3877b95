"""Conditional flows against ``x1 | c ~ N(a c, s^2)``, whose fields are linear: learnt, dropped, guided and drawn."""

import math
from dataclasses import field
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from interpolants.fields.preconditioned import Preconditioned
from interpolants.fields.protocol import QUANTITIES
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.remembered import Remembered
from interpolants.framework.role import Role
from interpolants.framework.trained import Trained
from interpolants.guidance.classifier_free import ClassifierFree
from interpolants.methods.parts.conditional_flow import WRAPPED, ConditionalFlow, FlowBatches
from interpolants.nets.embeddings import null_condition
from interpolants.objectives.times import ImportanceTimes, StratifiedTimes, UniformTimes
from interpolants.paths import get_path

A, S = 0.8, 0.6
PATH = get_path("one_sided_linear")
# Half way, where alpha = beta = 1/2: what is learnt is two numbers.
HALF = {"kind": "uniform", "interval": [0.5, 0.50001]}


def flow(**settings):
    return ConditionalFlow(who="Law", **{"path": PATH, **settings})


def exact(x, t, c):
    """Means of x1 and x0 given x_t and c, and the score; of c ~ N(0, 1) that is not told where c is NaN."""
    alpha, beta, told = 1 - t, t, ~c.isnan()
    mean, variance = torch.where(told, A * c, 0.0), torch.where(told, S**2, S**2 + A**2)
    gap = (x - beta * mean) / (alpha**2 + beta**2 * variance)
    return mean + beta * variance * gap, alpha * gap, -gap


class Exact(nn.Module):
    """The exact field of a quantity."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, x, t, cond=None):
        t = torch.as_tensor(t).to(x).reshape(-1, 1)
        end, noise, score = exact(x, t, torch.full_like(x, math.nan) if cond is None else cond.to(x))
        known = {"velocity": end - noise, "mean_rate": end - noise, "score": score}
        return {**known, "noise": noise, "endpoint0": noise, "denoised": end}[self.head]


class Linear(Remembered, id="test_linear_flow_net"):
    """``u x + v c``, and ``w x`` without a condition."""

    def __init__(self):
        super().__init__()
        self.told, self.untold = nn.Linear(2, 1, bias=False), nn.Linear(1, 1, bias=False)
        for part in (self.told, self.untold):
            nn.init.zeros_(part.weight)

    def forward(self, x, t, cond=None):
        if cond is None:
            return self.untold(x)
        null = cond.isnan()
        return torch.where(null, self.untold(x), self.told(torch.cat([x, cond.nan_to_num()], 1)))


class Law(Trained):
    """A method of two lines: its rows, and a flow by its settings."""

    head: str = "denoised"
    times: Any = field(default_factory=lambda: HALF)
    drop: float = 0.0
    mean: bool = False
    steps = 300
    batch_size = 256
    lr = 2e-2
    ema = 0.97

    def roles(self):
        return Role(name="x1"), Role(name="cond")

    @property
    def flow(self):
        return flow(head=self.head, times=self.times, drop=self.drop, mean=self.mean)

    def learn(self, data, run):
        net = self.flow.wrap(Linear())
        held = rows_of(**run.held) if run.held else None
        return {"net": self.flow.learnt(run, "law", net, rows_of(**data), self.training(), held=held)}


def rows_of(x1, cond):
    def rows(n, generator):
        pick = torch.randint(len(x1), (n,), generator=generator)
        return {"x1": x1[pick].float(), "cond": cond[pick].float()}

    return rows


def pairs(n=20_000, seed=0):
    g = torch.Generator().manual_seed(seed)
    c = torch.randn(n, 1, generator=g, dtype=torch.float64)
    return {"x1": A * c + S * torch.randn(n, 1, generator=g, dtype=torch.float64), "cond": c}


# --- what is learnt


@pytest.mark.cases(2)
@pytest.mark.parametrize("head", QUANTITIES)
def test_every_quantity_is_learnt_as_its_closed_form(head):
    """With and without the condition, by a network that can be exact."""
    model = Law(head=head, drop=0.3).fit(**pairs())
    x, c = torch.linspace(-1.5, 1.5, 13)[:, None], torch.linspace(-1, 1, 13)[:, None]
    t, net = torch.tensor(0.5), model.state["net"]
    with torch.no_grad():
        error = 0.05 * max(1.0, float(Exact(head)(x, t, c).square().mean().sqrt()))
        assert_close(net(x, t, c), Exact(head)(x, t, c), rtol=0, atol=error)
        assert_close(net(x, t, torch.full_like(c, math.nan)), Exact(head)(x, t), rtol=0, atol=error)
        assert torch.equal(net(x, t, null_condition(c)), net(x, t, torch.full_like(c, math.nan)))


def test_preconditioning_and_weights_follow_from_the_setting_not_from_a_type():
    for head in QUANTITIES:
        for wrapped in ((), WRAPPED, QUANTITIES):
            made, inner = flow(head=head, wrapped=wrapped), Linear()
            net = made.wrap(inner, 2.0)
            assert isinstance(net, Preconditioned) == (head in wrapped)
            assert (net is inner) == (head not in wrapped)
            weight = made.loss(net, UniformTimes()).weight
            assert weight == (net.weight if head in wrapped and head != "velocity" else None)
    given = Preconditioned(
        Linear(), PATH, ("denoised",), 2.0
    )  # a user's own, for a quantity that is not wrapped
    assert flow(head="denoised", wrapped=()).loss(given, UniformTimes()).weight is None


def test_a_mean_is_the_sum_over_the_number_of_entries_and_unknown_entries_do_not_count(generator):
    x1, known = torch.randn(5, 3, generator=generator), torch.rand(5, 3, generator=generator) < 0.6
    batch = {"x1": x1, "t": torch.linspace(0.1, 0.9, 5), "weight": torch.ones(5), "known": known}
    other = {**batch, "x1": torch.where(known, x1, 100.0)}

    def loss(batch, mean):
        told = flow(head="denoised", wrapped=(), mean=mean).loss(nn.Identity(), UniformTimes())
        return told(lambda x, t, cond: torch.ones_like(x), batch, torch.Generator().manual_seed(0))[
            "denoised"
        ]

    expected = torch.where(known, (1 - x1).square(), 0.0).sum(1)
    assert_close(loss(batch, mean=False), expected)
    assert_close(loss(batch, mean=True), expected / 3)
    assert torch.equal(loss(other, mean=False), loss(batch, mean=False))


# --- batches


def test_a_batch_draws_rows_then_times_then_who_is_told_nothing():
    data, g, times = pairs(50), torch.Generator().manual_seed(3), StratifiedTimes()
    batch = FlowBatches(rows_of(**data), 12, times, drop=0.5, latest=0.25)(7, g, 1, 3)
    again = torch.Generator().manual_seed(3)
    rows = rows_of(**data)(4, again)
    t, weight = times.sample(4, generator=again)
    null = (torch.rand(4, generator=again) < 0.5)[:, None]
    assert torch.equal(batch["x1"], rows["x1"])
    assert torch.equal(batch["t"], 0.25 * t)
    assert torch.equal(batch["weight"], weight)
    assert_close(batch["cond"], torch.where(null, math.nan, rows["cond"]), rtol=0, atol=0, equal_nan=True)


def test_nothing_is_drawn_to_drop_no_condition():
    g, again = (torch.Generator().manual_seed(3) for _ in range(2))
    FlowBatches(rows_of(**pairs(50)), 4, StratifiedTimes())(1, g, 0, 1)
    rows_of(**pairs(50))(4, again), StratifiedTimes().sample(4, generator=again)
    assert torch.equal(g.get_state(), again.get_state())


class Noted(UniformTimes):
    """Times that note what they are told."""

    told: list[Any] = []  # noqa: RUF012  # of the class: a fit works on a copy of its settings

    def update(self, t, loss):
        self.told.append((t, loss))


def test_the_times_are_told_every_loss_of_the_training_and_none_of_held_out_rows():
    Noted.told.clear()
    Law(head="score", times=Noted(), steps=6, batch_size=8).fit(**pairs(40), held=pairs(9, seed=1))
    assert len(Noted.told) == 6
    assert all(t.shape == loss.shape == (8,) and not loss.requires_grad for t, loss in Noted.told)


def test_learnt_times_change_what_is_learnt_once_every_bin_was_seen_and_not_the_settings():
    settings = {"head": "noise", "steps": 20, "batch_size": 64}
    even, learnt = (Law(times=times, **settings) for times in ("stratified", ImportanceTimes(bins=4)))
    first, *others = (
        model.fit(**pairs(500)).state["net"].net.told.weight.clone() for model in (even, learnt, learnt)
    )
    assert not torch.equal(first, others[0])
    assert torch.equal(*others)


def test_held_out_rows_choose_the_weights():
    """Where held-out rows have the opposite slope, what is learnt of the condition is not kept."""
    opposite = {**pairs(500, seed=1), "cond": -pairs(500, seed=1)["cond"]}
    settings = {"steps": 100, "validate_every": 10}
    own, other = (
        float(Law(**settings).fit(**pairs(), held=held).state["net"].net.told.weight[0, 1])
        for held in (pairs(500, seed=1), opposite)
    )
    assert other < 0.3 * own


# --- draws


@pytest.mark.parametrize("head", QUANTITIES)
def test_draws_have_the_conditional_mean_and_deviation(head):
    made, c = flow(head=head), torch.tensor([-1.0, 0.5, 2.0]).repeat(3000)[:, None]
    x = made.drawn(made.fields(Exact(head)), (1,), len(c), seed=1, cond=c, method="heun", n_steps=40).x
    x = x.reshape(3000, 3)
    assert_close(x.mean(0), A * c[:3, 0], rtol=0, atol=4 * S / 3000**0.5)
    assert_close(x.std(0), torch.full((3,), S), rtol=0.05, atol=0)


def test_a_draw_is_one_number_of_its_index_for_flows_and_for_samplers_with_noise():
    made, c = flow(head="noise"), torch.linspace(-1, 1, 70)[:, None]
    for how in ({"method": "heun"}, {"method": "ancestral"}, {"eps": 0.5}):
        fields = made.fields(Exact("noise"))
        whole = made.drawn(fields, (1,), 70, seed=5, cond=c, n_steps=6, **how).x
        part = made.drawn(fields, (1,), 6, seed=5, first=64, cond=c[64:], n_steps=6, **how).x
        assert_close(part, whole[64:])
        assert torch.equal(made.drawn(fields, (1,), 70, seed=5, cond=c, n_steps=6, **how).x, whole)


def test_guided_draws_have_the_moments_of_the_guided_flow():
    """``dm/dt`` and ``dv/dt`` of the linear velocity ``G + w (P - G)``, by its own coefficients."""
    made, w, c = flow(), 2.0, 0.7
    guided = ClassifierFree(made.fields(Exact("velocity")), w)
    n, steps = 4000, 400
    told = torch.full((n, 1), c)
    x = made.drawn(guided, (1,), n, seed=2, cond=told, method="heun", n_steps=50).x

    def rates(t):
        """Velocity at 0, and its slope."""
        ends = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
        told, untold = (
            Exact("velocity")(ends, torch.tensor(t), cond) for cond in (torch.full_like(ends, c), None)
        )
        at = untold + w * (told - untold)
        return float(at[0]), float(at[1] - at[0])

    mean, log_deviation = 0.0, 0.0
    for k in range(steps):
        shift, slope = rates((k + 0.5) / steps)
        middle = mean + 0.5 / steps * (shift + slope * mean)
        mean, log_deviation = mean + (shift + slope * middle) / steps, log_deviation + slope / steps
    assert float(x.std()) == pytest.approx(math.exp(log_deviation), rel=0.04)
    assert float(x.mean()) == pytest.approx(mean, abs=4 * math.exp(log_deviation) / n**0.5)
    assert abs(mean - A * c) > 0.1  # further out than the law itself


# --- refusals


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"head": "log_density"}, "head must be one of"),
        ({"path": get_path("linear")}, "Gaussian base"),
        ({"times": "sometimes"}, "times must be a known sampler"),
    ],
)
def test_what_no_network_can_learn_is_refused_by_the_name_of_the_method(settings, message):
    with pytest.raises(InvalidInputError, match=f"^Law: .*{message}"):
        flow(**settings)
