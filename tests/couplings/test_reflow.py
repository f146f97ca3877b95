import pytest
import torch
from torch.testing import assert_close

from interpolants.couplings import Coupling, Reflow, get_coupling
from interpolants.foundations.errors import InvalidInputError

MATRIX = torch.tensor([[2.0, 1.0], [0.0, 0.5]])


def forwards(x):
    return x @ MATRIX.mT + 1


def backwards(x):
    return (x - 1) @ torch.linalg.inv(MATRIX).mT


def ends(generator):
    return torch.randn(50, 2, generator=generator), torch.randn(50, 2, generator=generator)


def test_forward_pairs_keep_x0_and_make_its_end(generator):
    x0, x1 = ends(generator)
    pairs = Reflow(forwards).pair(x0, x1)
    assert pairs.x0 is x0
    assert_close(pairs.x1, x0 @ MATRIX.mT + 1)
    assert_close(pairs.index0, torch.arange(50))
    assert bool((pairs.index1 == -1).all())


def test_reverse_pairs_keep_x1_and_make_its_start(generator):
    x0, x1 = ends(generator)
    pairs = Reflow(backwards, reverse=True).pair(x0, x1)
    assert pairs.x1 is x1
    assert_close(pairs.x0 @ MATRIX.mT + 1, x1)
    assert_close(pairs.index1, torch.arange(50))
    assert bool((pairs.index0 == -1).all())


def test_there_and_back_is_the_same_coupling(generator):
    x0, x1 = ends(generator)
    up = Reflow(forwards).pair(x0, x1)
    down = Reflow(backwards, reverse=True).pair(x0, up.x1)
    assert_close(down.x0, x0, atol=1e-5, rtol=1e-5)


def test_the_flow_runs_with_the_condition_of_the_side_that_is_kept(generator):
    x0, x1 = ends(generator)
    shift = torch.arange(50.0)[:, None]
    other = -torch.ones(50, 1)

    def flow(x, cond):
        return x + cond

    pairs = Reflow(flow).pair(x0, x1, cond0=shift, cond1=other)
    assert_close(pairs.x1, x0 + shift)
    assert pairs.cond0 is shift
    assert pairs.cond1 is shift
    # An unconditional base is independent of the labels of the data, so it takes theirs.
    assert_close(Reflow(flow).pair(x0, x1, cond1=other).x1, x0 - 1)
    assert_close(Reflow(flow, reverse=True).pair(x0, x1, cond0=shift, cond1=other).x0, x1 - 1)


def test_pairs_carry_no_graph(generator):
    x0, x1 = ends(generator)
    weight = torch.ones((), requires_grad=True)
    assert not Reflow(lambda x: weight * x).pair(x0, x1).x1.requires_grad


def test_it_is_a_coupling_with_a_name():
    assert isinstance(get_coupling("reflow", flow=forwards), Coupling)


@pytest.mark.parametrize(
    ("flow", "words"),
    [
        (lambda x: x[:, :1], r"must return shape \(50, 2\), got \(50, 1\)"),
        (lambda x: x.numpy(), "must return shape .* got ndarray"),
        (lambda x: x / 0, "finite states"),
    ],
)
def test_a_bad_flow_is_refused(flow, words, generator):
    with pytest.raises(InvalidInputError, match=words):
        Reflow(flow).pair(*ends(generator))


def test_bad_arguments_are_refused(generator):
    x0, x1 = ends(generator)
    with pytest.raises(InvalidInputError, match="must be callable"):
        Reflow(3)
    with pytest.raises(InvalidInputError, match="same number of rows"):
        Reflow(forwards).pair(x0[:3], x1)
