import pytest
import torch
from torch.testing import assert_close

from interpolants.couplings import Coupling, Independent, MinibatchOT, Paired, Sinkhorn, get_coupling
from interpolants.couplings.pairs import costs, take
from interpolants.foundations.errors import InvalidInputError

ALL = [Independent(), Paired(), MinibatchOT(), MinibatchOT(sub_batch=4), Sinkhorn()]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("coupling", ALL, ids=repr)
def test_conditions_of_every_nesting_stay_with_their_samples(coupling):
    g = generator()
    x0, x1 = torch.randn(17, 2, generator=g), torch.randn(17, 2, generator=g)
    # The conditions are functions of the sample, so that a lost attachment shows.
    # Both ends have as many numbers a row, which couplings of conditions compare.
    cond0 = {"sum": x0.sum(1), "more": (x0 * 2, [x0[:, :1]])}
    cond1 = (torch.cat([x1.square(), x1], 1), None)
    pairs = coupling.pair(x0, x1, generator=g, cond0=cond0, cond1=cond1)
    assert_close(pairs.cond0["sum"], pairs.x0.sum(1))
    assert_close(pairs.cond0["more"][0], pairs.x0 * 2)
    assert_close(pairs.cond0["more"][1][0], pairs.x0[:, :1])
    assert_close(pairs.cond1[0], torch.cat([pairs.x1.square(), pairs.x1], 1))
    assert pairs.cond1[1] is None
    assert_close(pairs.x0, x0[pairs.index0])
    assert_close(pairs.x1, x1[pairs.index1])
    assert isinstance(coupling, Coupling)


@pytest.mark.parametrize("coupling", ALL, ids=repr)
def test_one_generator_state_gives_one_pairing(coupling):
    x0, x1 = torch.randn(20, 3, generator=generator()), torch.randn(20, 3, generator=generator(1))
    first, second = (coupling.pair(x0, x1, generator=generator(5)).index1 for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("coupling", ALL, ids=repr)
def test_bad_conditions_and_empty_batches_are_refused(coupling):
    x = torch.zeros(4, 2)
    with pytest.raises(InvalidInputError, match=r"cond1 must have one row per sample, 4, got shape \(3,\)"):
        coupling.pair(x, x, cond1=torch.zeros(3))
    with pytest.raises(InvalidInputError, match=r"cond0\['a'\]\[1\] must have one row"):
        coupling.pair(x, x, cond0={"a": (torch.zeros(4), torch.zeros(5))})
    with pytest.raises(InvalidInputError, match=r"cond1 must be a tensor.*got str"):
        coupling.pair(x, x, cond1="cat")
    with pytest.raises(InvalidInputError, match=r"x1 must have at least one row"):
        coupling.pair(x, x[:0])


@pytest.mark.parametrize("coupling", [MinibatchOT(), Sinkhorn()], ids=repr)
def test_what_has_no_distance_is_refused(coupling):
    x = torch.zeros(4, 2)
    bad = x.clone()
    bad[2, 1] = torch.nan
    with pytest.raises(InvalidInputError, match=r"x1 must be finite, got 1 bad rows, the first at row 2"):
        coupling.pair(x, bad)
    with pytest.raises(InvalidInputError, match=r"x0 must be finite"):
        coupling.pair(x + torch.inf, x)
    with pytest.raises(InvalidInputError, match=r"x0 must be floating point, got torch.int64"):
        coupling.pair(x.long(), x)
    with pytest.raises(InvalidInputError, match=r"same shape, got \(2,\) and \(3,\)"):
        coupling.pair(x, torch.zeros(4, 3))


@pytest.mark.parametrize("coupling", [Paired(), MinibatchOT()], ids=repr)
def test_unequal_sizes_are_refused_where_they_have_no_meaning(coupling):
    with pytest.raises(InvalidInputError, match=r"same number of rows, got 4 and 5. Draw batches"):
        coupling.pair(torch.zeros(4, 2), torch.zeros(5, 2))


def test_centred_costs_are_squared_distances_up_to_rows_and_columns():
    x0 = torch.randn(7, 2, 3, generator=generator(), dtype=torch.float64)
    x1 = torch.randn(5, 2, 3, generator=generator(1), dtype=torch.float64) + 4
    cost, unit = costs("test", x0, x1)
    assert_close(cost.mean(), torch.tensor(1.0, dtype=torch.float64))
    a, b = x0.flatten(1) - x0.flatten(1).mean(0), x1.flatten(1) - x1.flatten(1).mean(0)
    assert_close(cost * unit, (a[:, None] - b).square().sum(-1))


def test_costs_survive_a_large_offset_a_tiny_scale_and_autocast():
    x0, x1 = torch.randn(64, 300, generator=generator()), torch.randn(64, 300, generator=generator(1))
    plain = costs("test", x0, x1)[0]
    assert_close(costs("test", x0 * 1e-30, x1 * 1e-30)[0], plain)
    assert_close(costs("test", x0.double() + 1e6, x1.double())[0], plain, rtol=1e-5, atol=1e-5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(costs("test", x0, x1)[0], plain)


def test_points_without_spread_are_at_no_distance():
    assert torch.equal(costs("test", torch.ones(3, 2), torch.ones(4, 2))[0], torch.zeros(3, 4).double())


def test_take_leaves_none_alone():
    assert take(None, torch.tensor([0])) is None


def test_couplings_by_name():
    assert get_coupling("minibatch_ot", method="exact", sub_batch=8) == MinibatchOT("exact", 8)
    assert get_coupling("sinkhorn", reg=0.1) == Sinkhorn(0.1)
    with pytest.raises(InvalidInputError, match=r"got 'sinkorn'. Did you mean 'sinkhorn'"):
        get_coupling("sinkorn")
    with pytest.raises(InvalidInputError, match=r"got 'regg'. Did you mean 'reg'"):
        get_coupling("sinkhorn", regg=0.1)
    with pytest.raises(InvalidInputError, match=r"every setting must be one it has, got 'reg'"):
        get_coupling("independent", reg=1)


@pytest.mark.parametrize("coupling", [MinibatchOT(within="labels"), Sinkhorn(within="labels")], ids=repr)
def test_truth_values_are_labels(coupling):
    x0, x1 = torch.randn(12, 2, generator=generator()), torch.randn(12, 2, generator=generator(1))
    cond0, cond1 = torch.arange(12) % 2 == 0, torch.arange(12) < 6
    pairs = coupling.pair(x0, x1, generator=generator(), cond0=cond0, cond1=cond1)
    assert pairs.cond1.dtype == torch.bool
    assert torch.equal(pairs.cond0, pairs.cond1)
    as_numbers = coupling.pair(x0, x1, generator=generator(), cond0=cond0.long(), cond1=cond1.long())
    assert torch.equal(pairs.index1, as_numbers.index1)
