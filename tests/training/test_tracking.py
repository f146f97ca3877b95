"""Losses reach every kind of tracker, row by row, and change nothing of the training."""

import pytest
import torch

from interpolants import Bridge
from interpolants.foundations.errors import InvalidInputError
from interpolants.training.tracking import Tracked

X = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))


class Writer:
    def __init__(self):
        self.rows = {}

    def add_scalar(self, tag, scalar_value, global_step=None):
        self.rows.setdefault(global_step, {})[tag] = scalar_value


class Mlflow:
    def __init__(self):
        self.rows = {}

    def log_metrics(self, metrics, step=None):
        self.rows[step] = metrics


class Run:
    def __init__(self):
        self.rows = {}

    def log(self, data, step=None):
        self.rows[step] = data


def fit(**options):
    bridge = Bridge("one_sided_linear", net={"kind": "mlp", "width": 8, "depth": 1}, steps=10, held_out=0)
    return bridge.fit(x1=X, progress=False, **options)


@pytest.mark.parametrize("kind", [Writer, Mlflow, Run])
def test_the_rows_of_every_tracker_are_the_losses_of_the_steps(kind):
    tracker, seen = kind(), {}

    def watch(moment):
        seen[moment.step] = {name: float(loss.mean()) for name, loss in moment.losses.items()} | {
            "lr": moment.lr
        }

    tracked = fit(callbacks=[watch, Tracked(tracker, every=4, prefix="mine/")])
    assert list(tracker.rows) == [1, 4, 8]
    for step, row in tracker.rows.items():
        assert row == {f"mine/{name}": value for name, value in seen[step].items()}
    assert torch.equal(tracked.sample(3, seed=0), fit().sample(3, seed=0))


def test_validations_are_logged_at_their_steps():
    rows = {}
    bridge = Bridge("one_sided_linear", net={"kind": "mlp", "width": 8, "depth": 1}, steps=9, held_out=0.2)
    bridge.set_params(validate_every=3, keep_best="held_out_loss")
    tracked = Tracked(lambda values, step: rows.setdefault(step, values), every=4)
    bridge.fit(X, progress=False, callbacks=[tracked])
    (validation,) = bridge.about["validation"].values()
    told = {row["step"]: row["held_out_loss"] for row in validation["rows"] if row["step"]}
    logged = {step: row["train/held_out_loss"] for step, row in rows.items() if "train/held_out_loss" in row}
    assert logged == told
    assert [step for step, row in rows.items() if "train/velocity" in row] == [1, 4, 8]


def test_a_function_is_a_tracker_and_anything_else_is_refused():
    rows = []
    fit(callbacks=[Tracked(lambda values, step: rows.append((step, values["train/lr"])), every=5)])
    assert [step for step, _ in rows] == [1, 5, 10]
    with pytest.raises(InvalidInputError, match="SummaryWriter"):
        Tracked("runs/tb")
    with pytest.raises(InvalidInputError, match="every"):
        Tracked(Run(), every=0)
