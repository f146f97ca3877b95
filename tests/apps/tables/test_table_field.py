"""Exact posteriors of small tables: what the sampler, the loss and the bound make of them."""

import math
from dataclasses import replace

import pytest
import torch

from interpolants.apps.tables.columns import ColumnCode, TableCode
from interpolants.apps.tables.table_field import TableLoss, TableState, bound, draw

EMPTY = torch.zeros(0, dtype=torch.float64)
# A label with three levels and a number, N(mean, spread^2) given the label.
P, MEAN, SPREAD = (
    torch.tensor([0.5, 0.2, 0.3]),
    torch.tensor([-1.0, 0.2, 1.4]),
    torch.tensor([0.3, 0.8, 0.5]),
)
LABEL = ColumnCode("label", torch.arange(3.0).double(), EMPTY, EMPTY, False, False, False)
NUMBER = ColumnCode(
    "number", EMPTY, torch.tensor([0.0]).double(), torch.ones(1).double(), False, False, False
)


def normal(z, t, mean, spread):
    """Density of z_t = (1 - t) e + t N(mean, spread^2), and the mean of the number given it."""
    variance = (1 - t) ** 2 + (t * spread) ** 2
    density = (-(z - t * mean).square() / 2 / variance).exp() / variance.sqrt()
    return density, mean + t * spread**2 / variance * (z - t * mean)


def innovation(mean, z, t):
    m = t**2 + (1 - t) ** 2
    return torch.where(t < 1, (mean - t / m * z) * m.sqrt() / (1 - t).clamp_min(1e-9), 0.0)


class Labelled:
    """Exact posterior of (label, number)."""

    def __call__(self, state: TableState):
        t = torch.where(state.fixed[:, 1], 1.0, state.t)[:, None]
        z = state.z[:, 1, None]
        density, mean = normal(z, t, MEAN, SPREAD)
        p = P * density
        shown = torch.nn.functional.one_hot(state.levels[:, 0].clamp(0, 2), 3).bool()
        p = torch.where(state.visible[:, :1], shown.float(), p / p.sum(1, keepdim=True))
        found = torch.zeros_like(state.z)
        found[:, 1] = innovation((p * mean).sum(1), z[:, 0], t[:, 0])
        return found, torch.stack([p.log(), torch.full_like(p, -math.inf)], 1)


def start(n, **known):
    state = TableState(
        *(torch.zeros(n, 2), torch.zeros(n, 2, dtype=torch.long)),
        *(torch.zeros(n, 2, dtype=torch.bool) for _ in range(3)),
        torch.zeros(n),
    )
    for name, column in known.items():
        state.fixed[:, {"label": 0, "number": 1}[name]] = True
        if name == "label":
            state.levels[:, 0] = column
        else:
            state.z[:, 1] = column
    return state


CODE = TableCode([LABEL, NUMBER])


@pytest.mark.parametrize(
    ("steps", "variation", "off"),
    [(30, 0.015, 0.06), pytest.param(100, 0.012, 0.045, marks=pytest.mark.slow)],
)
def test_levels_and_numbers_are_drawn_jointly(steps, variation, off):
    levels, z = draw(CODE, Labelled(), start(20_000), steps, 0, 0)
    shares = torch.bincount(levels[:, 0], minlength=3) / len(levels)
    assert float((shares - P).abs().sum()) / 2 < variation
    means = torch.stack([z[levels[:, 0] == k, 1].mean() for k in range(3)])
    assert float((means - MEAN).abs().max()) < off


def test_a_number_given_its_level_and_a_level_given_its_number():
    _, z = draw(CODE, Labelled(), start(20_000, label=1), 60, 0, 0)
    assert float(z[:, 1].mean()) == pytest.approx(0.2, abs=0.02)
    assert float(z[:, 1].std()) == pytest.approx(0.8, abs=0.03)
    levels, _ = draw(CODE, Labelled(), start(20_000, number=0.5), 10, 0, 0)
    density, _ = normal(torch.tensor([[0.5]]), torch.ones(1, 1), MEAN, SPREAD)
    exact = (P * density / (P * density).sum())[0]
    shares = torch.bincount(levels[:, 0], minlength=3) / len(levels)
    assert float((shares - exact).abs().max()) < 4 * 0.5 / math.sqrt(20_000)


def test_draw_i_does_not_depend_on_how_many_there_are():
    levels, z = draw(CODE, Labelled(), start(100), 10, 3, 0)
    later, z_later = draw(CODE, Labelled(), start(30), 10, 3, 70)
    assert torch.equal(later, levels[70:])
    torch.testing.assert_close(z_later, z[70:], rtol=1e-4, atol=1e-4)


# A label, and a number that is exactly zero with chance .8 or .2 given the label.
ZERO, SHARE = torch.tensor([0.8, 0.2]), torch.tensor([0.6, 0.4])
M2, S2 = torch.tensor([-0.5, 0.7]), torch.tensor([0.6, 0.3])
ATOMIC = TableCode(
    [
        ColumnCode("label", torch.arange(2.0).double(), EMPTY, EMPTY, False, False, False),
        ColumnCode(
            "number",
            torch.zeros(1).double(),
            torch.ones(1).double(),
            torch.ones(1).double(),
            *(False,) * 3,
        ),
    ]
)


class Atomic:
    """Exact posterior of a label and a number with an atom; ``whole`` as the loss on all rows makes it."""

    def __init__(self, whole=True):
        self.whole = whole

    def __call__(self, state: TableState):
        t, z = state.t[:, None], state.z[:, 1, None]
        number, mean = normal(z, t, M2, S2)
        noise, noise_mean = normal(z, t, torch.zeros(2), torch.ones(2))
        joint = torch.stack([SHARE * ZERO * noise, SHARE * (1 - ZERO) * number], 2)  # (B, label, level)
        for column, axis in ((0, 1), (1, 2)):
            keep = torch.nn.functional.one_hot(state.levels[:, column].clamp(0, 1), 2).bool()
            keep = keep[:, :, None] if axis == 1 else keep[:, None]
            joint = torch.where(state.visible[:, column, None, None] & ~keep, 0.0, joint)
        joint = joint / joint.sum((1, 2), keepdim=True)
        means = torch.stack([noise_mean, mean], 2)
        weight = joint
        if not self.whole:
            weight = torch.stack([torch.zeros_like(joint[..., 0]), joint[..., 1]], 2)
            weight = weight / weight.sum((1, 2), keepdim=True).clamp_min(1e-12)
        expected = (weight * means).sum((1, 2))
        atom = state.visible[:, 1] & (state.levels[:, 1] == 0)
        found = torch.zeros_like(state.z)
        found[:, 1] = torch.where(atom, 0.0, innovation(expected, z[:, 0], state.t))
        return found, torch.stack([joint.sum(2).log(), joint.sum(1).log()], 1)


def atomic_rows(posterior, n=20_000, steps=60):
    state = TableState(
        *(torch.zeros(n, 2), torch.zeros(n, 2, dtype=torch.long)),
        *(torch.zeros(n, 2, dtype=torch.bool) for _ in range(3)),
        torch.zeros(n),
    )
    return draw(ATOMIC, posterior, state, steps, 0, 0)


def test_atoms_come_as_often_as_they_should_and_numbers_beside_them_are_right():
    levels, z = atomic_rows(Atomic())
    zero = levels[:, 1] == 0
    assert float(zero.double().mean()) == pytest.approx(0.56, abs=0.012)
    for label in (0, 1):
        own = levels[:, 0] == label
        assert float(zero[own].double().mean()) == pytest.approx(float(ZERO[label]), abs=0.015)
        assert float(z[own & ~zero, 1].mean()) == pytest.approx(float(M2[label]), abs=0.03)


def test_a_loss_on_numbers_alone_is_another_law():
    levels, _ = atomic_rows(Atomic(whole=False))
    assert float((levels[:, 1] == 0).double().mean()) < 0.55


def test_the_loss_counts_the_scores_of_hidden_atoms():
    class Zero:
        def __call__(self, state):
            return torch.zeros_like(state.z), torch.zeros(len(state.z), 2, 2)

    n = 40_000
    batch = {
        "levels": torch.zeros(n, 2, dtype=torch.long),  # label 0, and the atom in all rows
        "lower": torch.zeros(n, 2).double(),
        "width": torch.ones(n, 2).double(),
    }
    losses = TableLoss(ATOMIC).of(Zero(), batch, torch.Generator().manual_seed(0))
    # The target has variance 1. The level is hidden in 1/2 of the rows; beside known cells, drawn apart, in 1/4.
    assert float(losses["scores"].mean()) == pytest.approx((0.5 + 0.25) / 2, abs=0.02)


def test_hidden_levels_are_as_often_missing_as_in_the_table_unless_they_are_marked():
    class Counts:
        def __call__(self, state):
            hidden = ~state.visible[:, 1]
            self.marked = state.levels[hidden & state.filled[:, 1], 1] == 1
            self.unmarked = state.levels[hidden & ~state.filled[:, 1], 1] == 1
            return torch.zeros_like(state.z), torch.zeros(len(state.z), 2, 2)

    n = 20_000
    with_missing = replace(ATOMIC.columns[1], levels=EMPTY, missing_cells=True)  # levels: number, missing
    code = TableCode([ATOMIC.columns[0], with_missing])
    missing = torch.rand(n, generator=torch.Generator().manual_seed(1)) < 0.2
    levels = torch.stack([torch.zeros(n, dtype=torch.long), missing.long()], 1)
    batch = {"levels": levels, "lower": torch.zeros(n, 2).double(), "width": torch.ones(n, 2).double()}
    counts = Counts()
    TableLoss(code).of(counts, batch, torch.Generator().manual_seed(0))
    assert float(counts.unmarked.double().mean()) == pytest.approx(
        0.2, abs=4 * 0.4 / len(counts.unmarked) ** 0.5
    )
    assert len(counts.marked) > 1000
    assert not counts.marked.any()


def test_the_bound_of_the_exact_posterior_is_the_joint_entropy():
    source = torch.Generator().manual_seed(0)
    n = 20_000
    labels = torch.multinomial(P, n, replacement=True, generator=source)
    z = MEAN[labels] + SPREAD[labels] * torch.randn(n, generator=source)
    u = torch.special.ndtr(z.double())[:, None]
    batch = {
        "levels": torch.stack([labels, torch.zeros_like(labels)], 1),
        "lower": torch.cat([torch.zeros_like(u), u], 1),
        "width": torch.zeros(n, 2).double(),
    }
    found = bound(CODE, Labelled(), batch, 8, 0, 0)
    conditional = -(z - MEAN[labels]).square() / 2 / SPREAD[labels] ** 2 - SPREAD[labels].log()
    log_ratio = P[labels].log() + conditional + z.square() / 2  # relative to N(0, 1)
    assert float(found.mean()) == pytest.approx(-float(log_ratio.mean()), abs=0.03)
