import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.causal.causal_graph import CausalGraph
from interpolants.apps.causal.nets.structural_layer import (
    StructuralLayer,
    exogenous,
    intervene,
    solve_structure,
)
from interpolants.foundations.errors import InvalidInputError

CHAIN = CausalGraph.of("one -> two -> three")
NAN = float("nan")


def tanh(name, causes):
    return causes.sum(1).tanh()


def column(*values):
    return torch.tensor(values, dtype=torch.float64)[None, :, None]


def test_an_effect_goes_on_over_two_edges():
    # Mechanisms of exogenous values in one shot would give tanh(0) = 0.
    z = solve_structure(CHAIN, tanh, column(1.0, 0.0, 0.0))
    assert_close(z[0, :, 0], torch.tensor([1.0, math.tanh(1), math.tanh(math.tanh(1))], dtype=torch.float64))
    assert abs(float(z[0, 2, 0]) - 0.6420) < 1e-4
    assert_close(exogenous(CHAIN, tanh, z), column(1.0, 0.0, 0.0), atol=1e-15, rtol=0)


def test_the_order_of_names_does_not_matter():
    turned = CausalGraph(("three", "one", "two"), CHAIN.edges)
    z = solve_structure(turned, tanh, column(0.0, 1.0, 0.0))
    assert abs(float(z[0, 0, 0]) - 0.6420) < 1e-4


def test_an_intervention_cuts_the_arrows_into_it_keeps_all_noise_and_leaves_the_rest_to_the_bit():
    u = column(1.0, 0.3, -0.2)
    z = solve_structure(CHAIN, tanh, u)
    after = intervene(CHAIN, tanh, z, column(NAN, 2.0, NAN))
    assert torch.equal(after[:, 0], z[:, 0])
    assert float(after[0, 1, 0]) == 2.0
    assert_close(after[0, 2, 0], torch.tensor(math.tanh(2.0) - 0.2, dtype=torch.float64))
    both = intervene(CHAIN, tanh, z, column(0.5, NAN, 9.0))  # an effect that is set does not follow
    assert_close(both[0, :, 0], torch.tensor([0.5, math.tanh(0.5) + 0.3, 9.0], dtype=torch.float64))


def test_a_leaf_moves_nothing_else_and_rows_that_set_nothing_stay(generator):
    layer = StructuralLayer("a -> c, b -> c, a -> d; e", 3, seed=1)
    z = torch.randn(6, 5, 3, generator=generator)
    leaf = layer.do(z, {"c": 0.7})
    others = [layer.graph.place(name) for name in "abde"]
    assert torch.equal(leaf[:, others], z[:, others])
    assert bool((leaf[:, layer.graph.place("c")] == 0.7).all())
    some = torch.full_like(z, NAN)
    some[2, layer.graph.place("a")] = 1.0
    moved = layer.do(z, some)
    rows = [0, 1, 3, 4, 5]
    assert torch.equal(moved[rows], z[rows])
    assert [bool((moved[2, k] != z[2, k]).any()) for k in range(5)] == [
        name in "acd" for name in layer.graph.names
    ]


def test_solving_and_abduction_are_inverse_and_have_volume_one(generator):
    layer = StructuralLayer("a -> b -> c, a -> c", 2, seed=3).double()
    u = torch.randn(4, 3, 2, generator=generator, dtype=torch.float64)
    assert_close(layer.abduct(layer(u)), u)
    jacobian = torch.autograd.functional.jacobian(
        lambda v: layer(v.reshape(1, 3, 2)).flatten(), u[0].flatten()
    )
    assert_close(torch.linalg.det(jacobian), torch.tensor(1.0, dtype=torch.float64))


def test_mechanisms_of_one_layer_have_weights_of_their_own():
    """Three variables with one cause: mechanisms of equal shape, which must not begin alike."""
    layer = StructuralLayer("a -> b -> c -> d")
    first = [mechanism.layers[0].weight for mechanism in layer.mechanisms.values()]
    assert len(first) == 3
    assert len({tuple(weight.flatten().tolist()) for weight in first}) == 3


def test_values_without_a_block_for_each_variable_are_refused():
    with pytest.raises(
        InvalidInputError, match=r"shape \(B, 3, d\), a block for each variable, got \(4, 2, 1\)"
    ):
        solve_structure(CHAIN, tanh, torch.zeros(4, 2, 1))
    with pytest.raises(InvalidInputError, match="Did you mean 'two'"):
        StructuralLayer(CHAIN).do(torch.zeros(1, 3, 1), {"tow": 1.0})
