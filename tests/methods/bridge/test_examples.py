"""Rows that a fitted bridge can show, and its loss by time."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.methods.bridge.bridge import Bridge

NET = {"kind": "mlp", "width": 16, "depth": 2}


def data(n=500, shift=3.0):
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(int(shift))) + shift


def fitted(x0=None, x1=None, steps=30, **settings):
    path = "one_sided_linear" if x0 is None else "linear"
    given = {"path": path, "net": NET, "held_out": 0, **settings}
    return Bridge(**given).fit(x0, data() if x1 is None else x1, steps=steps, batch_size=64, progress=False)


def rows_of(part, whole):
    """Where each row of a part lies in the whole."""
    return [int((whole - row).abs().sum(1).argmin()) for row in part]


def test_held_out_rows_are_shown_where_some_were_set_aside():
    x1 = data(2000)
    bridge = fitted(x1=x1, held_out=0.2)
    found = bridge.examples(50)
    assert found.held_out
    assert found.cond is None
    trained, _ = bridge.training_rows(2000)
    assert_close(x1[rows_of(found.x1, x1)], found.x1, atol=1e-5, rtol=0)
    assert not set(rows_of(found.x1, x1)) & set(rows_of(trained, x1))
    assert found.x0.shape == (50, 2)


def test_else_training_rows_and_starts_in_data_units():
    found = fitted().examples(400)
    assert not found.held_out
    assert abs(float(found.x1.mean()) - 3) < 4 / 800**0.5
    # The base is a standard Gaussian in the network's units, where the data have mean 0 and deviation 1.
    assert abs(float(found.x0.mean()) - 3) < 4 / 800**0.5


def test_pairs_stay_pairs():
    x0 = data(shift=0.0)
    found = fitted(x0, x0 + 10, coupling="paired").examples(60)
    assert found.paired
    assert_close(found.x1 - found.x0, torch.full((60, 2), 10.0), atol=1e-4, rtol=0)
    assert not fitted(x0, x0 + 10).examples(60).paired


def test_labels_come_along_and_are_counted():
    labels = torch.arange(500) % 3
    bridge = fitted_with(labels)
    assert bridge.classes == 3
    assert bridge.is_conditional
    assert len(bridge.examples(20).cond) == 20
    plain = fitted()
    assert plain.classes == 0
    assert not plain.is_conditional


def fitted_with(labels):
    bridge = Bridge("one_sided_linear", net=NET)
    return bridge.fit(x1=data(), cond=labels, steps=5, batch_size=64, progress=False)


def test_the_loss_by_time_is_that_of_a_field_of_zeros_for_a_network_that_says_zero():
    """The loss is then the mean square of the rate x1 - x0: 2 + 2 in the plane in standard units."""
    bridge = fitted(precondition=False)
    for weights in bridge.network.parameters():
        weights.zero_()
    found = bridge.examples(500)
    loss = bridge.loss_at(0.3, None, found.x1)["velocity"]
    mean, error = loss.mean(), loss.std() / len(loss) ** 0.5
    assert abs(mean - 4) < 4 * error
    assert_close(bridge.loss_at(0.3, None, found.x1)["velocity"], loss)  # seeded


def test_each_learnt_quantity_has_its_loss():
    x0 = data(shift=0.0)
    found = fitted(x0).loss_at(0.5, x0, data())
    assert set(found) == {"mean_rate", "noise"}
    assert all(loss.shape == (500,) for loss in found.values())


def test_before_a_fit_there_is_nothing_to_show():
    for ask in (
        lambda b: b.examples(3),
        lambda b: b.training_rows(3),
        lambda b: b.loss_at(0.5, None, data()),
    ):
        with pytest.raises(InvalidInputError, match="must be fitted"):
            ask(Bridge())
