"""The question about few-shot learning, put to methods whose answers are known."""

import torch
from torch.testing import assert_close

from interpolants.framework.questions import ask
from interpolants.framework.task import Split, Task
from interpolants.sciml import FewShotClassifier, PerTaskRidge
from interpolants.sciml.bayes import task_classifier
from interpolants.sciml.bayes.few_shot import FewShot


def test_lines_without_noise_are_known_after_two_rows():
    g = torch.Generator().manual_seed(0)
    x, slope = torch.randn(120, 1, generator=g), torch.arange(12.0).repeat_interleave(10)
    task = Task.of(
        PerTaskRidge().roles(),
        {"x": x, "y": slope[:, None] * x, "groups": slope.long()},
        Split(by="group", role="groups", test=4),
    )
    found = ask(FewShot(shots=3), task.fit(PerTaskRidge()), task)
    assert found["mse"].n == 4
    assert found["mse"].value < 1e-6
    assert len(found.figures[0].panels) == 3


def test_classes_far_apart_are_always_right_and_noise_is_a_guess():
    g = torch.Generator().manual_seed(0)
    y = torch.arange(8).repeat_interleave(20)
    far = 50.0 * torch.nn.functional.one_hot(y, 8) + torch.randn(160, 8, generator=g)
    for x, right, tolerance in ((far, 1.0, 1e-6), (torch.randn(160, 8, generator=g), 0.5, 0.1)):
        model = FewShotClassifier(ways=2, learn_by="nothing")
        task = Task.of(model.roles(), {"x": x, "y": y}, Split(by="group", role="y", test=4))
        found = ask(FewShot(shots=5, ways=2), task.fit(model), task)
        assert_close(found["accuracy"].value, right, atol=tolerance, rtol=0)
        assert found["accuracy"].n == 100


def test_a_wrong_answer_that_was_certain_costs_much_but_not_infinitely_much(monkeypatch):
    """A classifier that gives all classes but one the probability 0."""
    nearest = task_classifier._nearest
    monkeypatch.setattr(task_classifier, "_nearest", lambda z, head: nearest(z, head).round())
    x, y = (
        torch.randn(80, 8, generator=torch.Generator().manual_seed(0)),
        torch.arange(8).repeat_interleave(10),
    )
    model = FewShotClassifier(ways=2, learn_by="nothing")
    task = Task.of(model.roles(), {"x": x, "y": y}, Split(by="group", role="y", test=4))
    found = ask(FewShot(shots=1, ways=2, queries=5, episodes=20), task.fit(model), task)
    wrong = 1 - found["accuracy"].value
    assert 0.3 < wrong < 0.7
    assert_close(found["calibration_error"].value, wrong)
    assert 10 * wrong < found["nll"].value < 100 * wrong
