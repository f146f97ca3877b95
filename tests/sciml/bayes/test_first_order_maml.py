"""The peer and the rivals of meta-learning."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.sciml import FirstOrderMAML, PerTaskRidge
from interpolants.sciml.bayes.linear_evidence import LinearEvidence
from interpolants.sciml.bayes.local_solutions import descend
from interpolants.sciml.bayes.nets.weight_vectors import WeightVectors

DOUBLE = {"dtype": torch.float64}


def rows():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(60, 2, generator=g, **DOUBLE)
    return x, x @ torch.tensor([1.0, -2.0], **DOUBLE), torch.arange(10).repeat_interleave(6)


def test_inner_steps_are_those_of_gradient_descent_on_half_the_mean_squared_error():
    net = WeightVectors(inputs=2, outputs=1, hidden=())
    g = torch.Generator().manual_seed(0)
    w, x, y = (
        torch.randn(1, 3, generator=g),
        torch.randn(1, 5, 2, generator=g),
        torch.randn(1, 5, generator=g),
    )
    design = torch.cat([x[0] / 2**0.5, torch.ones(5, 1)], 1)
    expected = w[0]
    for _ in range(3):
        expected = expected - 0.2 * design.T @ (design @ expected - y[0]) / 5
    assert_close(descend(net, w, x, y, 3, 0.2)[0], expected)


def test_without_inner_steps_it_is_one_regression_of_all_tasks():
    x, y, groups = rows()
    model = FirstOrderMAML(hidden=(), train_steps=0, inner_steps=0, steps=400, lr=0.05, shots=2, rows=6)
    found = model.fit(x, y, groups).adapt(x[:3], y[:3]).predict(x)
    assert_close(found.mean.reshape(-1), y, atol=0.03, rtol=0)


def test_a_descent_that_diverges_is_refused():
    x, y, groups = rows()
    with pytest.raises(InvalidInputError, match=r"must not diverge.*Lower inner_lr"):
        FirstOrderMAML(inner_lr=1e9, inner_steps=200, steps=1, rows=6).fit(x, y, groups)


def test_ridge_of_a_task_knows_its_rows_alone():
    x, y, groups = rows()
    found = PerTaskRidge().fit(x, y, groups).adapt(x[:8], y[:8])
    expected = LinearEvidence().fit(x[:8], y[:8])
    assert_close(found.predict(x).mean.reshape(-1), expected.predict(x).mean)
    with pytest.raises(InvalidInputError, match="N >= 2"):
        PerTaskRidge().fit(x, y, groups).adapt(x[:1], y[:1])


def test_a_row_must_be_left_to_judge_a_step():
    assert FirstOrderMAML(shots=5, rows=6).rows == 6
    with pytest.raises(InvalidInputError, match="rows must be a whole number >= 6, got 5"):
        FirstOrderMAML(shots=5, rows=5)
