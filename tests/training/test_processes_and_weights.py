"""Refused: numbers of processes that change the rows of a run. Never stored: weights that are not finite."""

from dataclasses import replace

import pytest
import torch

from interpolants.foundations import trees
from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.training import TrainingInterrupted, TrainSettings
from interpolants.training.checkpoint import Checkpoint
from interpolants.training.world import World
from training.resumed import stop_at, train


def cut_run(folder, world):
    """A run that was stopped after ten steps and was done by so many processes, as its checkpoint says."""
    with pytest.raises(TrainingInterrupted):
        train(out=folder, keywords={"callbacks": [stop_at(10)]})
    found, _ = Checkpoint.latest(folder / "checkpoints")
    trees.write(
        folder / "checkpoints" / f"step-{found.step:08d}",
        replace(found, state={**found.state, "world": world}),
    )


def test_a_run_goes_on_with_the_processes_it_began_with(tmp_path):
    cut_run(tmp_path, 2)
    with pytest.raises(
        InvalidInputError, match=r"keep the number of processes.* got 2 -> 1. Start 2 processes"
    ):
        train(out=tmp_path, resume=True)


def test_a_finished_run_of_two_processes_can_be_read_by_one(tmp_path):
    train(out=tmp_path)
    found, _ = Checkpoint.latest(tmp_path / "checkpoints")
    place = tmp_path / "checkpoints" / "step-00000020"
    trees.write(place, replace(found, state={**found.state, "world": 2}))
    assert train(out=tmp_path, resume=True)[1].stopped == "finished"


def test_a_batch_that_cannot_be_shared_out_evenly_is_refused(monkeypatch):
    def three(self):
        self.size = 3
        return self

    monkeypatch.setattr(World, "__enter__", three)
    with pytest.raises(
        InvalidInputError, match=r"multiple of the number of processes, 3, got 64. Use 63 or 66"
    ):
        train(batch_size=64)


@pytest.mark.parametrize("lr", [1e7, 1e38, 1e300])
def test_rates_at_which_single_precision_ends_are_refused(lr):
    with pytest.raises(InvalidInputError, match=r"^TrainSettings: lr must lie in \(0, 1e\+06\], got 1"):
        TrainSettings(lr=lr)


def test_weights_that_the_last_step_made_infinite_are_told_and_not_stored(tmp_path):
    def burst(moment):
        with torch.no_grad():
            next(moment.modules.parameters()).fill_(torch.inf)
        return False

    with pytest.raises(DivergedError, match=r"weights must be finite after step 1, .* Lower lr, now"):
        train(out=tmp_path, steps=1, keywords={"callbacks": [burst]})
    assert Checkpoint.latest(tmp_path / "checkpoints") == (None, {})
