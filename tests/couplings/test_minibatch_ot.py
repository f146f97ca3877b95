from itertools import permutations

import numpy as np
import pytest
import torch

from interpolants.couplings import Independent, MinibatchOT
from interpolants.couplings.minibatch_ot import _network_simplex, _reduced, exact_assignment
from interpolants.couplings.pairs import costs
from interpolants.foundations.errors import InvalidInputError

optimize = pytest.importorskip("scipy.optimize", reason="pip install 'interpolants[ot]'")


def clouds(n, *shape, seed=0, dtype=torch.float32):
    g = torch.Generator().manual_seed(seed)
    x0 = torch.randn(n, *shape, generator=g, dtype=dtype)
    return x0, torch.rand(n, *shape, generator=g, dtype=dtype) ** 3 * 4


def total(pairs):
    return float((pairs.x0.double() - pairs.x1.double()).square().sum())


def scipy_optimum(x0, x1):
    distances = (x0.double().flatten(1)[:, None] - x1.double().flatten(1)).square().sum(-1).numpy()
    rows, columns = optimize.linear_sum_assignment(distances)
    return float(distances[rows, columns].sum())


@pytest.mark.parametrize("method", ["auto", "exact", "pot"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_six_points_against_all_permutations(method, seed):
    if method == "pot":
        pytest.importorskip("ot", reason="pip install 'interpolants[ot]'")
    x0, x1 = clouds(6, 2, seed=seed, dtype=torch.float64)
    cost = (x0[:, None] - x1).square().sum(-1).numpy()
    best = min(permutations(range(6)), key=lambda p: cost[np.arange(6), p].sum())
    assert tuple(MinibatchOT(method=method).pair(x0, x1).index1.tolist()) == best


# 64 rows go to the solver as they are, 300 are reduced first, 300 dimensions make the costs in float32.
@pytest.mark.parametrize(
    ("n", "shape"), [(64, (2,)), (64, (64,)), (300, (2,)), (300, (64,)), (150, (3, 10, 10))]
)
@pytest.mark.parametrize("method", ["auto", "exact", "pot"])
def test_total_cost_is_scipys_optimum(n, shape, method):
    if method == "pot":
        pytest.importorskip("ot", reason="pip install 'interpolants[ot]'")
    x0, x1 = clouds(n, *shape)
    pairs = MinibatchOT(method=method).pair(x0, x1)
    assert total(pairs) == pytest.approx(scipy_optimum(x0, x1), rel=1e-5)
    assert torch.equal(pairs.index1.sort().values, torch.arange(n))
    assert torch.equal(pairs.x0, x0)


def test_reduction_subtracts_a_row_and_a_column_and_helps():
    cost, _ = costs("test", *clouds(200, 2, dtype=torch.float64))
    difference = cost - _reduced(cost)
    rank_one = difference[:, :1] + difference[:1] - difference[0, 0]
    torch.testing.assert_close(difference, rank_one, rtol=0, atol=1e-12)
    # Potentials near the optimum leave the reduced costs of the optimal pairs near zero.
    rows, columns = torch.arange(200), exact_assignment(cost)
    assert float(_reduced(cost)[rows, columns].abs().mean()) < 0.05


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_potentials_of_outliers_stay_finite(scale):
    x0, x1 = clouds(200, 2, dtype=torch.float64)
    x0, x1 = x0 * scale, x1 * scale
    x0[0] += 1e4 * scale
    pairs = MinibatchOT(method="exact").pair(x0, x1)
    assert total(pairs) == pytest.approx(scipy_optimum(x0, x1), rel=1e-9)


@pytest.mark.parametrize("method", ["auto", "exact"])
@pytest.mark.parametrize("n", [50, 200])
def test_on_the_line_the_map_increases(method, n):
    x0, x1 = clouds(n, 1)
    for a, b in ((x0, x1), (x0.squeeze(1), x1.squeeze(1))):
        pairs = MinibatchOT(method=method).pair(a, b)
        order = pairs.x0.flatten().argsort()
        assert torch.equal(pairs.x1.flatten()[order], b.flatten().sort().values)


def test_neither_scale_nor_offset_changes_the_pairs():
    x0, x1 = clouds(200, 2, dtype=torch.float64)
    plain = MinibatchOT().pair(x0, x1).index1
    moved = MinibatchOT().pair(1e-8 * x0 + 3, 1e-8 * x1 - 700)
    assert torch.equal(moved.index1, plain)


def test_float32_far_from_the_origin_is_as_good_as_its_digits():
    x0, x1 = clouds(200, 2)
    x1 = x1 + 1000  # a float32 product of uncentred data would lose the spread altogether
    assert total(MinibatchOT().pair(x0, x1)) == pytest.approx(scipy_optimum(x0, x1), rel=1e-9)


def test_network_simplex_and_assignment_agree():
    pytest.importorskip("ot", reason="pip install 'interpolants[ot]'")
    cost, _ = costs("test", *clouds(150, 3))
    assert torch.equal(_network_simplex(cost), exact_assignment(cost))


def test_fast_is_a_permutation_between_the_optimum_and_chance():
    pytest.importorskip("ot", reason="pip install 'interpolants[ot]'")
    x0, x1 = clouds(256, 2)
    g = torch.Generator().manual_seed(0)
    pairs = MinibatchOT(method="fast").pair(x0, x1, generator=g)
    best, chance = scipy_optimum(x0, x1), total(Independent().pair(x0, x1, generator=g))
    assert torch.equal(pairs.index1.sort().values, torch.arange(256))
    assert best <= total(pairs) < best + 0.1 * (chance - best)


def test_sub_batches_are_random_blocks_that_do_not_see_a_shared_order():
    x = torch.linspace(0, 1, 400)[:, None]
    g = torch.Generator().manual_seed(0)
    pairs = MinibatchOT(sub_batch=20).pair(x, x, generator=g)
    assert torch.equal(pairs.index1.sort().values, torch.arange(400))
    # Blocks cut without shuffling would return the identity: the whole batch's optimum, by accident.
    gap = (pairs.x0 - pairs.x1).abs().mean()
    assert 0.02 < gap < 0.15
    whole = MinibatchOT(sub_batch=400).pair(x, x, generator=g)
    assert torch.equal(whole.index1, torch.arange(400))


@pytest.mark.parametrize("given", ["both", "x1 only"])
def test_within_labels_pairs_equal_labels_optimally(given):
    g = torch.Generator().manual_seed(0)
    x0, x1 = clouds(90, 2)
    labels1 = torch.randint(0, 4, (90,), generator=g)
    labels0 = labels1[torch.randperm(90, generator=g)]
    cond0 = {"labels": labels0} if given == "both" else None
    pairs = MinibatchOT(within="labels").pair(x0, x1, cond0=cond0, cond1={"labels": labels1}, generator=g)
    assert torch.equal(pairs.index1.sort().values, torch.arange(90))
    assert torch.equal(pairs.cond1["labels"], labels1[pairs.index1])
    if given == "both":
        assert torch.equal(pairs.cond0["labels"], pairs.cond1["labels"])
    for label in range(4):
        rows = pairs.cond1["labels"] == label
        assert total_of(pairs, rows) == pytest.approx(scipy_optimum(pairs.x0[rows], pairs.x1[rows]))


def total_of(pairs, rows):
    return float((pairs.x0[rows].double() - pairs.x1[rows].double()).square().sum())


def test_an_unlabelled_base_stays_independent_of_the_label():
    # Two labels at -3 and +3: plain OT gives each label one half of the base, mean -+0.8; within must not.
    g = torch.Generator().manual_seed(0)
    x0 = torch.randn(2000, 2, generator=g).sort(0).values  # an order must not leak into the deal
    labels = torch.arange(2).repeat(1000)
    x1 = torch.randn(2000, 2, generator=g) * 0.1 + (labels[:, None] * 6.0 - 3)
    plain = MinibatchOT(sub_batch=500, within=None).pair(x0, x1, cond1=labels, generator=g)
    within = MinibatchOT(sub_batch=500).pair(x0, x1, cond1=labels, generator=g)
    assert plain.x0[plain.cond1 == 1].mean() > 0.4
    assert abs(within.x0[within.cond1 == 1].mean()) < 5 / 2000**0.5


def test_labels_that_do_not_fit_are_refused():
    x, labels = torch.zeros(4, 2), torch.tensor([0, 0, 1, 1])
    ot = MinibatchOT(within="labels")
    with pytest.raises(InvalidInputError, match=r"counts \{0: 1, 1: 3\} and \{0: 2, 1: 2\}"):
        ot.pair(x, x, cond0=torch.tensor([0, 1, 1, 1]), cond1=labels)
    with pytest.raises(InvalidInputError, match=r"needs labels of x1, got cond1=None"):
        ot.pair(x, x)
    with pytest.raises(InvalidInputError, match=r"must have the key 'labels'"):
        ot.pair(x, x, cond1={"class": labels})
    with pytest.raises(InvalidInputError, match=r"must be \(N,\), got shape \(4, 2\)"):
        ot.pair(x, x, cond1=x)


def test_bad_settings_are_refused():
    with pytest.raises(InvalidInputError, match=r"within must be None or the name"):
        MinibatchOT(within=3)


def test_pairs_carry_gradients_of_the_samples():
    x0, x1 = clouds(10, 2)
    x1.requires_grad_()
    MinibatchOT().pair(x0, x1).x1.sum().backward()
    assert torch.equal(x1.grad, torch.ones_like(x1))
