"""What a training says of its size and time."""

import pytest
import torch
from torch import nn

from interpolants.training import fit
from interpolants.training import progress as module
from interpolants.training.progress import Estimate, duration
from interpolants.training.settings import TrainSettings


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.1, "1 s"), (40, "40 s"), (100, "2 min"), (3 * 3600 + 700, "3.2 h")]
)
def test_durations_in_the_unit_of_their_size(seconds, said):
    assert duration(seconds) == said


class Told:
    """A bar that keeps what is said."""

    def __init__(self):
        self.words = []

    def tell(self, words):
        self.words.append(words)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (1000, ["17 parameters, 1,000 steps: about 33 min, as measured over 5 steps"]),
        (7, ["17 parameters, 7 steps: about 14 s, as measured over 5 steps"]),
        (6, []),  # the end has come when it is known
    ],
)
def test_the_time_of_all_steps_is_that_of_those_after_the_first(monkeypatch, steps, said):
    """The first takes a minute and the others two seconds each."""
    now = {"s": 100.0}
    monkeypatch.setattr(module.time, "perf_counter", lambda: now["s"])
    bar = Told()
    clock = Estimate([torch.zeros(3, 4), torch.zeros(5)], 1000, 1000 + steps, bar)
    for step in range(min(steps, 20)):
        now["s"] += 2.0 if step else 60.0
        clock.advance()
    assert bar.words == said


def test_a_training_that_shows_its_progress_says_it(capsys):
    def loss(net, batch, generator):
        return {"x": net(batch).square().mean(1)}

    fit(
        nn.Linear(2, 1),
        loss,
        lambda step, g, rank, world: torch.randn(4, 2, generator=g),
        TrainSettings(steps=20),
    )
    assert "3 parameters, 20 steps: about 1 s" in capsys.readouterr().err
