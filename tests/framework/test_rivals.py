"""Rivals of a question: what is made of an id, a table or a twin."""

import torch

from interpolants.framework.questions import Measured, Question, ask
from interpolants.framework.task import Split, Task
from interpolants.methods import GaussianFit

X = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))


class Seeds(Question):
    """Tells the seed that each was fitted with."""

    def measure(self, method, task):
        return Measured({"seed": float(method.seed)})


def test_a_rival_has_the_seed_of_the_method_unless_it_has_one_of_its_own():
    task = Task.of(GaussianFit().roles(), {"x1": X}, Split(test=20))
    method = task.fit(GaussianFit(seed=7))
    rivals = [
        {"kind": "gaussian_fit", "name": "same"},
        {"kind": "gaussian_fit", "name": "own", "seed": 2},
        {"twin": {"ridge": 1.0}, "name": "twin"},
    ]  # fmt: skip
    (score,) = ask(Seeds(), method, task, rivals).scores
    assert score.value == 7
    assert score.rivals == {"same": 7, "own": 2, "twin": 7}
