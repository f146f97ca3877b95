"""Batches of pairs: where rows of both ends come from, and what is learnt from them at which times."""

import warnings

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from interpolants.couplings import MinibatchOT, Sinkhorn
from interpolants.foundations.errors import InvalidInputError
from interpolants.objectives.joint import joint_loss
from interpolants.objectives.penalties import Penalty
from interpolants.objectives.times import UniformTimes
from interpolants.paths import OneSidedLinear, Trigonometric, ZeroEnvelope
from interpolants.training import PairBatches, TrainSettings, learn_fields
from interpolants.training.pairs import PathLoss, draw_pairs


@pytest.mark.parametrize("coupling", [MinibatchOT(within="labels"), Sinkhorn(reg=0.5, within="labels")])
def test_labels_match_in_every_batch_and_come_as_often_as_at_the_end(coupling):
    """x0 has labels 5, 7, 9 in shares 1/2, 1/4, 1/4, and x1 only 7 and 9 in shares 1/4, 3/4."""
    labels0, labels1 = torch.tensor([7, 5, 9, 5] * 25), torch.tensor([9, 7, 9, 9] * 20)
    x0, x1 = torch.arange(100.0)[:, None], 1000 + torch.arange(80.0)[:, None]
    batches = PairBatches(x0, x1, 40, coupling, UniformTimes(), cond=labels1, cond0=labels0)
    counts0, counts1, n = torch.zeros(100), torch.zeros(80), 250
    for step in range(n):
        batch = batches(step, torch.Generator().manual_seed(step), 0, 1)
        rows0, rows1 = batch["x0"].flatten().long(), batch["x1"].flatten().long() - 1000
        assert torch.equal(labels0[rows0], labels1[rows1])
        assert torch.equal(batch["cond"], labels1[rows1])
        counts0 += torch.bincount(rows0, minlength=100)
        counts1 += torch.bincount(rows1, minlength=80)
    # 10,000 draws: each row as often as it should be, within five standard errors of a count.
    for counts, share in (
        (counts0, torch.tensor([0.0, 1 / 4 / 25, 3 / 4 / 25])[(labels0 - 5) // 2]),
        (counts1, torch.full((80,), 1 / 80)),
    ):
        expected = 40 * n * share
        # Sinkhorn draws rows of x1 anew within a batch, which adds a second variance of the same size.
        assert bool(((counts - expected).abs() <= 5 * (2 * expected).sqrt()).all())


def test_a_network_is_told_numbers_of_both_ends_on_the_way():
    """``(1 - t) c0 + t c1``; conditions are functions of the sample, so that a wrong row shows."""
    source = torch.Generator().manual_seed(0)
    x0, x1 = torch.randn(200, 2, generator=source), torch.randn(200, 2, generator=source)
    batches = PairBatches(x0, x1, 40, MinibatchOT(), UniformTimes(), cond=3 * x1[:, :1], cond0=5 * x0[:, 1:])
    batch = batches(0, torch.Generator().manual_seed(1), 0, 1)
    t, first, last = batch["t"][:, None], 5 * batch["x0"][:, 1:], 3 * batch["x1"][:, :1]
    assert_close(batch["cond"], (1 - t) * first + t * last)
    assert_close(batch["cond1"], last)


def test_a_label_without_starts_is_refused():
    x, labels = torch.zeros(6, 2), torch.tensor([0, 0, 0, 1, 1, 2])
    coupling = MinibatchOT(within="labels")
    with pytest.raises(
        InvalidInputError, match="rows of x0 for every label of x1, got label 2 of x1 without"
    ):
        PairBatches(x[:5], x, 4, coupling, UniformTimes(), cond=labels, cond0=labels[:5])


@pytest.mark.slow
def test_labels_are_paired_within_by_default_and_other_conditions_are_told():
    """Plain pairs give the rows of each label starts of their own: means near -0.8 and 0.8 where they are 0."""
    source = torch.Generator().manual_seed(0)
    x0 = torch.randn(4000, 2, generator=source)
    labels = torch.arange(2).repeat(2000)
    x1 = 0.1 * torch.randn(4000, 2, generator=source) + 6.0 * labels[:, None] - 3

    def apart(coupling):
        made = PairBatches(x0, x1, 2000, coupling, UniformTimes(), cond=labels)(
            0, torch.Generator().manual_seed(1), 0, 1
        )
        return float((made["x0"][made["cond"] == 1].mean() - made["x0"][made["cond"] == 0].mean()).abs())

    for kind in (MinibatchOT, Sinkhorn):
        assert apart(kind(within=None)) > 0.8
        assert apart(kind()) < 0.15
    with pytest.warns(UserWarning, match=r"pairs without a look at conditions that are no labels"):
        PairBatches(x0, x1, 64, MinibatchOT(condition_weight=0), UniformTimes(), cond=labels[:, None].float())
    PairBatches(x0, x1, 64, MinibatchOT(), UniformTimes(), cond=labels[:, None].float())


@pytest.mark.parametrize("n", [1, 16, 50])
def test_so_many_pairs_are_drawn_whatever_the_batches(n):
    """Rows tell who they are: ends of a pair have one label, and the condition is that of x1."""
    labels0, labels1 = torch.arange(40) % 3, torch.arange(60) % 3
    x0, x1 = torch.arange(40.0)[:, None], torch.arange(60.0)[:, None]
    source, known = torch.Generator().manual_seed(0), {"cond": labels1, "cond0": labels0, "who": "test"}
    first, second, cond = draw_pairs(x0, x1, n, MinibatchOT(), 16, source, **known)
    assert first.shape == second.shape == (n, 1)
    assert torch.equal(cond, labels1[second[:, 0].long()])
    assert torch.equal(cond, labels0[first[:, 0].long()])
    assert len(second.unique()) > n // 2  # no batch comes twice


class Rates(nn.Module):
    """``a d/dt cos(pi t / 2) + b d/dt sin(pi t / 2)``, with a and b to be found."""

    def __init__(self):
        super().__init__()
        self.ends = nn.Parameter(torch.zeros(2, dtype=torch.float64))

    def forward(self, x, t, cond=None):
        angle = t * torch.pi / 2
        return (torch.pi / 2 * (self.ends[1] * angle.cos() - self.ends[0] * angle.sin()))[:, None]


def test_the_velocity_of_a_single_pair_is_found_at_every_time():
    """Between 2 and -1 the rate is known, and a network of that form can only have these ends."""
    path, x0 = Trigonometric(ZeroEnvelope()), torch.full((1, 1), 2.0, dtype=torch.float64)
    settings = TrainSettings(steps=60, batch_size=16, optimizer="sgd", lr=0.3, clip_norm=None, ema=None)
    learnt = learn_fields(path, x0, x0 - 3, heads=("velocity",), net=Rates(), settings=settings)
    assert_close(learnt.net.ends, torch.tensor([2.0, -1.0], dtype=torch.float64), rtol=0, atol=1e-3)
    t = torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64)
    rate = path.alpha_dot(t) * 2 - path.beta_dot(t)
    assert_close(learnt.fields.velocity(x0.expand(3, 1), t)[:, 0], rate, rtol=0, atol=5e-3)


def test_a_network_that_is_named_gets_the_shape_of_the_rows_and_a_head_for_each_quantity():
    x = torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
    settings = TrainSettings(steps=2, batch_size=8)
    net = {"kind": "mlp", "width": 8, "depth": 1}
    learnt = learn_fields(OneSidedLinear(), None, x, heads=("velocity", "noise"), net=net, settings=settings)
    assert learnt.net(x, torch.full((30,), 0.5)).shape == (30, 2, 3)
    assert_close(learnt.fields.noise(x, 0.5), learnt.net(x, torch.full((30,), 0.5))[:, 1])


class Constant(Penalty):
    """Two, whatever the field."""

    name, of = "constant", "velocity"

    def at(self, field, points, generator):
        return torch.full_like(points.t, 2.0)


def test_losses_count_with_the_weight_of_their_time_and_penalties_with_theirs():
    path, x1 = Trigonometric(ZeroEnvelope()), torch.tensor([[1.0], [2.0]])
    plain, seeded = joint_loss(("velocity",), path), torch.Generator().manual_seed
    batch = {
        "x0": -x1,
        "x1": x1,
        "cond": None,
        "t": torch.tensor([0.2, 0.4]),
        "weight": torch.tensor([1.0, 3.0]),
    }
    net = lambda x, t, cond: x  # noqa: E731
    found = PathLoss(plain, UniformTimes(), penalties=[Constant(path, weight=0.25)])(net, batch, seeded(0))
    alone = plain(net, x0=-x1, x1=x1, t=batch["t"], cond=None, generator=seeded(0))["velocity"]
    assert_close(found["velocity"], alone * batch["weight"])
    assert found["constant"].tolist() == [0.5, 0.5]


def test_a_path_whose_noise_alone_was_learnt_has_the_mean_of_x1_for_its_start():
    x1 = torch.tensor([[1.0, 5.0], [3.0, 7.0], [2.0, 0.0]])
    settings = TrainSettings(steps=1, batch_size=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        learnt = learn_fields(OneSidedLinear(), None, x1, heads=("noise",), settings=settings)
    assert torch.equal(learnt.fields._mean1, torch.tensor([2.0, 4.0]))
