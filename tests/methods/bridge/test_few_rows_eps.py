"""``eps="auto"`` of few held-out rows: distances by hand, errors by repetition, fields where noise must win or lose."""

import pytest
import torch
from torch.testing import assert_close

from interpolants import Bridge
from interpolants.dynamics.sample import sample
from interpolants.fields import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.methods.bridge.few_rows_eps import LEVELS, _best, _left_out, _moved, few_rows_eps
from interpolants.metrics import energy_distance
from interpolants.paths import OneSidedLinear
from interpolants.problems import GaussianMixture, GaussianMixtureBridge

LAW = GaussianMixture(
    torch.tensor([0.5, 0.5]).double(),
    torch.tensor([[5.5, 0.0], [2.5, 0.0]]).double(),
    torch.full((2,), 0.2).double(),
)
PATH = OneSidedLinear()
BASE = GaussianMixture([1.0], torch.zeros(1, 2), torch.ones(1))
EXACT = GaussianMixtureBridge(BASE, LAW).fields(PATH)


def source(seed):
    return torch.Generator().manual_seed(seed)


def ends(n, seed=0):
    return LAW.sample(n, generator=source(seed)).float()


def faulty():
    """The exact score beside a velocity that goes half as far: only noise, which draws along the score, arrives."""

    def values(name, x, t):
        return EXACT.evaluate(x, t, (name,))[name]

    return LearnedFields(
        PATH, velocity=lambda x, t: 0.5 * values("velocity", x, t), score=lambda x, t: values("score", x, t)
    )


def test_the_score_is_the_energy_distance_up_to_the_spread_of_the_ends():
    x0, x1 = torch.randn(12, 2, generator=source(1)), ends(15)
    flow = _moved(EXACT, x0, x1, 0.0, None, 12, 30, 0, paired=False)
    noisy = _moved(EXACT, x0, x1, 1.0, None, 12, 30, 0, paired=False)
    spread = (x1.double() - x1.double().mean(0)).square().sum(1).mean().sqrt()
    made = [sample(EXACT, x0, eps=eps, n_steps=30, seed=0).x for eps in (0.0, 1.0)]
    distances = [energy_distance(x.double(), x1.double()).value for x in made]
    assert noisy.value - flow.value == pytest.approx((distances[1] - distances[0]) / float(spread), rel=1e-4)


def test_draws_of_one_start_are_not_taken_for_different_starts():
    """Moved by the flow, copies of a start fall together: as different starts they would make the flow look narrow."""
    x0, x1 = torch.randn(9, 2, generator=source(1)), ends(9)
    once = _moved(EXACT, x0, x1, 0.0, None, 9, 30, 0, paired=False)
    often = _moved(EXACT, x0, x1, 0.0, None, 45, 30, 0, paired=False)
    assert often.value == pytest.approx(once.value, rel=1e-4)


def test_rows_that_belong_together_do_not_count_as_independent():
    x1 = ends(20)
    found = _moved(EXACT, x1, x1, 0.0, None, 20, 10, 0, paired=True)
    by_hand = found.across[~torch.eye(20, dtype=torch.bool)].mean() * 2
    by_hand -= found.within[~torch.eye(20, dtype=torch.bool)].mean()
    assert found.value == pytest.approx(float(by_hand), rel=1e-6)


@pytest.mark.slow
def test_the_error_of_a_gap_is_its_spread_over_draws_of_the_rows():
    fields, gaps, errors = faulty(), [], []
    for seed in range(60):
        x0, x1 = torch.randn(16, 2, generator=source(seed + 100)), ends(16, seed)
        one, flow = (_moved(fields, x0, x1, eps, None, 64, 12, seed, paired=False) for eps in (0.5, 0.0))
        gap = one.less(flow)
        gaps.append(gap.value)
        errors.append(gap.error)
    spread, stated = float(torch.tensor(gaps).std()), float(torch.tensor(errors).mean())
    assert 0.7 < stated / spread < 1.4  # 60 draws know a spread to 10 %


@pytest.mark.slow
def test_noise_is_chosen_where_the_velocity_is_wrong_and_the_flow_is_kept_where_it_is_exact():
    x1 = ends(30)
    x0 = torch.randn(200, 2, generator=source(5))
    wrong = few_rows_eps(faulty(), x0, x1, n_steps=30)
    assert wrong.eps >= 0.5
    assert "was chosen among 7" in wrong.reason
    assert "gap to the flow" in wrong.table()
    kept = few_rows_eps(LearnedFields(PATH, velocity=lambda x, t: EXACT.evaluate(x, t, ("velocity",))["velocity"],
                                      score=lambda x, t: torch.zeros_like(x)), x0, x1, n_steps=30)  # fmt: skip
    assert kept.eps == 0.0
    assert kept.reason.startswith("eps = 0 was kept")


def test_the_least_level_within_a_standard_error_of_the_best_is_taken():
    x0, x1 = torch.randn(40, 2, generator=source(1)), ends(25)
    moved = [_moved(faulty(), x0, x1, eps, None, 40, 12, 0, paired=False) for eps in LEVELS]
    k, best = _best(moved), min(moved, key=lambda one: one.value)
    gaps = [best.less(one) for one in moved]
    assert -gaps[k].value <= gaps[k].error
    assert all(-gap.value > gap.error for gap in gaps[:k])
    apart, agreeing = _left_out(moved, k, 0)
    assert apart < 0  # noise helps on the rows that were left out of the choice, too
    assert 0 < agreeing <= 1


@pytest.mark.slow
def test_a_bridge_of_few_rows_chooses_by_what_it_held_out(tmp_path):
    tiny = {"net": {"kind": "mlp", "width": 32, "depth": 2}, "steps": 60, "batch_size": 32}
    x0, x1 = torch.randn(60, 2, generator=source(0)), ends(90)
    bridge = Bridge(**tiny).fit(x0, x1, progress=False)
    choice = bridge.choose_eps(n_steps=12)
    assert (choice.criterion, choice.predicted, len(choice.candidates)) == (
        "cross-validated samples",
        None,
        7,
    )
    again = Bridge.load(bridge.save(tmp_path / "bridge"))
    assert again.eps_choice == choice
    assert_close(again.sample(5, eps="auto", seed=1), bridge.sample(5, eps=choice.eps, seed=1))
    mirror = Bridge("mirror", **tiny).fit(x1=x1, progress=False)
    assert mirror.choose_eps(n_steps=12).criterion == "cross-validated samples"
    labels = torch.arange(90) % 2
    known = Bridge("one_sided_linear", **tiny).fit(x1=x1, cond=labels, progress=False)
    assert known.choose_eps(n_steps=12).predicted is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"criterion": "likelihood"}, "criterion needs at least 200 rows .* got 18. Leave it out"),
        ({"constants": (1.0,)}, "constants needs at least 200 rows"),
        ({"n": 3}, "n must be a whole number >= 8, got 3"),
    ],
)
def test_what_needs_more_rows_is_refused(options, message):
    tiny = {"net": {"kind": "mlp", "width": 16, "depth": 1}, "steps": 1}
    bridge = Bridge("one_sided_linear", **tiny).fit(x1=ends(90), progress=False)
    with pytest.raises(InvalidInputError, match=message):
        bridge.choose_eps(**options)


def test_seven_rows_are_too_few():
    with pytest.raises(InvalidInputError, match=r"at least 8 held-out rows of each end, got 7\. Print check"):
        few_rows_eps(EXACT, torch.randn(20, 2), ends(7))
