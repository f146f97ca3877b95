"""Training with dropped conditions gives the network both fields."""

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.objectives import StratifiedTimes
from interpolants.objectives.joint import joint_loss
from interpolants.paths import Linear, OneSidedLinear
from interpolants.training.pairs import PathLoss, learn_fields
from interpolants.training.settings import TrainSettings


def batch(n=4000):
    return {
        "x0": None,
        "x1": torch.zeros(n, 2),
        "t": torch.full((n,), 0.5),
        "cond": torch.arange(n) % 5,
        "weight": torch.ones(n),
    }


@pytest.mark.parametrize("chance", [0.0, 0.25])
def test_the_share_of_rows_that_lose_their_label(chance, generator):
    seen = []

    def net(x, t, cond):
        seen.append(cond)
        return torch.zeros_like(x)

    loss = joint_loss(("velocity",), OneSidedLinear())
    PathLoss(loss, StratifiedTimes(), chance)(net, batch(), generator)
    labels = seen[0][:4000]
    share = float((labels == -1).float().mean())
    assert abs(share - chance) <= 4 * (chance * (1 - chance) / 4000) ** 0.5
    kept = labels != -1
    assert torch.equal(labels[kept], batch()["cond"][kept])


def test_a_chance_outside_its_range_is_refused():
    with pytest.raises(InvalidInputError, match=r"drop_condition must lie in \[0, 1\), got 1.0"):
        PathLoss(joint_loss(("velocity",), OneSidedLinear()), StratifiedTimes(), 1.0)


@pytest.mark.parametrize("rows", [30, 50])
def test_conditions_without_a_row_each_are_refused(rows):
    x1, labels = torch.zeros(40, 2), torch.zeros(rows, dtype=torch.int64)
    for given, message in (
        ({"cond": labels}, f"learn_fields: cond must have one row per row of x1, 40, got {rows}"),
        ({"cond0": labels}, f"learn_fields: cond0 must have one row per row of x0, 40, got {rows}"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            learn_fields(Linear(), x1, x1, heads=("velocity",), settings=TrainSettings(steps=1), **given)


@pytest.mark.slow
def test_the_learnt_field_knows_the_modes_and_their_mean():
    """Two points, -1 and +1, a label each: at t = 0 the velocity is E[x1] - x, given the label or over both."""
    labels = torch.arange(512) % 2
    x1 = (2.0 * labels - 1)[:, None]
    path = OneSidedLinear(base=Gaussian(event_shape=(1,)))
    net = {"kind": "mlp", "width": 32, "depth": 2}
    settings = TrainSettings(steps=600, batch_size=128, lr=5e-3, schedule="cosine", ema=0.98)
    learnt = learn_fields(
        path, None, x1, heads=("velocity",), net=net, cond=labels, drop_condition=0.3, settings=settings
    )
    x = torch.linspace(-1, 1, 3)[:, None]
    for label, mean in ((-1, 0.0), (0, -1.0), (1, 1.0)):
        b = learnt.fields.velocity(x, 0.05, torch.full((3,), label))
        # In closed form (mean of x1 given x and label, less x) / (1 - t); without label the mean is a tanh.
        given = torch.tanh(0.05 * x / 0.95**2) if label == -1 else mean
        assert (b - (given - x) / 0.95).abs().max() <= 0.25
