"""The loss under a structured condition: its value by hand, weights, sums and means."""

import torch

from interpolants.objectives.conditioned_loss import ConditionedLoss
from interpolants.objectives.joint import joint_loss
from interpolants.objectives.times import UniformTimes
from interpolants.paths import get_path


def told(x, t, cond):
    """A network that answers with its condition, whatever comes in."""
    return cond["value"].expand_as(x)


def test_value_by_hand():
    path = get_path("one_sided_linear")
    objective = joint_loss(("denoised",), path).objectives[0]
    x1 = torch.tensor([[[1.0, 2.0]], [[3.0, -1.0]]])
    cond = {"value": torch.tensor([0.5, -2.0])[:, None, None]}
    batch = {"x1": x1, "cond": cond, "t": torch.tensor([0.3, 0.8]), "weight": torch.tensor([1.0, 4.0])}
    squares = torch.tensor([0.25 + 2.25, 25.0 + 1.0])  # the target of "denoised" is x1 itself
    for mean, entries in ((False, 1), (True, 2)):
        found = ConditionedLoss(objective, mean=mean)(told, batch, torch.Generator().manual_seed(0))
        torch.testing.assert_close(found, {"denoised": squares / entries * batch["weight"]})


def test_entries_that_are_not_known_do_not_count():
    path = get_path("one_sided_linear")
    objective = joint_loss(("denoised",), path).objectives[0]
    batch = {
        "x1": torch.tensor([[1.0, 2.0]]), "cond": {"value": torch.zeros(1, 1)}, "t": torch.tensor([0.3]),
        "weight": torch.ones(1), "known": torch.tensor([[True, False]]),
    }  # fmt: skip
    found = ConditionedLoss(objective)(told, batch, torch.Generator().manual_seed(0))
    torch.testing.assert_close(found, {"denoised": torch.tensor([1.0])})


class Told(UniformTimes):
    """Times that keep what they are told."""

    def update(self, t, loss):
        object.__setattr__(self, "found", (t, loss))


def test_times_are_told_the_losses_without_their_own_weights():
    batch = {
        "x1": torch.tensor([[1.0], [3.0]]),
        "t": torch.tensor([0.3, 0.6]),
        "weight": torch.tensor([5.0, 7.0]),
    }
    times, objective = Told(), joint_loss(("denoised",), get_path("one_sided_linear")).objectives[0]
    loss = ConditionedLoss(objective, weight=lambda x, t: {"denoised": 10 * t}, times=times)
    loss(lambda x, t, cond: torch.zeros_like(x, requires_grad=True), batch, torch.Generator().manual_seed(0))
    torch.testing.assert_close(times.found, (batch["t"], torch.tensor([3.0, 54.0])))


def test_rows_count_as_the_weight_of_the_quantity_says():
    path = get_path("one_sided_linear")
    objective = joint_loss(("denoised",), path).objectives[0]
    batch = {
        "x1": torch.tensor([[1.0, 2.0], [3.0, 1.0]]), "cond": {"value": torch.zeros(2, 1)},
        "t": torch.tensor([0.3, 0.6]), "weight": torch.tensor([1.0, 2.0]),
    }  # fmt: skip
    loss = ConditionedLoss(objective, weight=lambda x, t: {"denoised": 10 * t, "noise": 0 * t})
    found = loss(told, batch, torch.Generator().manual_seed(0))
    torch.testing.assert_close(found, {"denoised": torch.tensor([5.0 * 3, 10.0 * 2 * 6])})
