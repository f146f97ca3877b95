"""Copies of training rows are seen, fresh rows are not accused."""

import torch

from interpolants.framework.capabilities import capability
from interpolants.framework.questions import ask
from interpolants.framework.task import Split, Task
from interpolants.methods.questions.copied_rows import CopiedRows
from interpolants.methods.rivals.gaussian_fit import GaussianFit


class Copier(GaussianFit):
    """Gives training rows back."""

    def learn(self, data, run):
        return {**super().learn(data, run), "rows": data["x1"]}

    @capability(like="x1")
    def sample(self, n, *, seed=0):
        return self.state["rows"][:n]


def task_of(shape=(2,)):
    x = torch.randn(2000, *shape, generator=torch.Generator().manual_seed(2))
    return Task.of(GaussianFit().roles(), {"x1": x}, Split(test=0.3))


def found_in(answered):
    return [finding.text for finding in answered.findings]


def test_training_rows_given_back_are_seen_and_fresh_ones_are_at_one_half():
    task = task_of()
    copied = ask(CopiedRows(), task.fit(Copier()), task, ["gaussian_fit"])
    score = copied["closer"]
    assert score.value == 1.0
    assert score.floor == 0.5
    assert found_in(copied) == [
        "Copies: a generated row is closer to the training rows than a held-out row with chance 1.00."
    ]
    again = ask(CopiedRows(), task.fit(GaussianFit()), task)
    assert found_in(again) == []
    fresh = again["closer"]
    assert abs(fresh.value - 0.5) < 4 * fresh.error
    assert abs(score.rivals["gaussian_fit"] - fresh.value) < 1e-12
    assert torch.equal(copied.arrays["generated"], copied.arrays["training"])


def test_images_are_shown_above_their_neighbours():
    task = task_of((1, 4, 4))
    found = ask(CopiedRows(n=50), task.fit(Copier()), task)
    assert found.figures[0].panels[0].series[0].arrays["images"].shape == (2, 8, 4, 4)
