"""Accuracy by label of samplers that obey, that do not, and that know no labels."""

import numpy as np
import pandas as pd
import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.questions import ask
from interpolants.framework.role import Role
from interpolants.framework.task import Split, Task
from interpolants.methods.questions.label_accuracy import LabelAccuracy
from interpolants.methods.rivals.gaussian_fit import GaussianFit


class ByLabel(Method):
    """Rows about 10 times the label plus ``off``."""

    off: int = 0

    def roles(self):
        return (Role(name="x1", axis="x1"), Role(name="cond", kind="condition", axis="x1", optional=True))

    def learn(self, data, run):
        return {}

    @capability(like="x1")
    def sample(self, n, *, cond=None, seed=0):
        noise = torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))
        return 10 * ((cond + self.off) % 3).float()[:, None] + noise


def task_of(extra=None):
    labels = torch.arange(600) % 3
    x = 10 * labels.float()[:, None] + torch.randn(600, 2, generator=torch.Generator().manual_seed(1))
    roles = [*ByLabel().roles(), *(extra.reads() if extra else ())]
    values = {"x1": x, "cond": labels} | ({"every": x, "label": labels} if extra else {})
    return Task.of(roles, values, Split(test=0.5))


def test_samples_drawn_by_label_score_one_and_wrong_ones_zero_beside_the_commonest_label():
    task = task_of()
    found = ask(LabelAccuracy(), task.fit(ByLabel()), task, [{"twin": {"off": 1}}, "gaussian_fit"])
    score = found["accuracy"]
    assert (score.value, score.floor, score.rivals["twin"]) == (1.0, 1.0, 0.0)
    assert 0.15 < score.rivals["gaussian_fit"] < 0.55
    counts = torch.bincount(task.test["cond"])
    assert found["commonest_label"].value == pytest.approx(float(counts.max() / counts.sum()))


def test_a_method_without_labels_may_be_asked_for_a_class_and_the_judge_may_learn_from_more_rows():
    question = LabelAccuracy(judge=["every", "label"], target=[1, 2])
    task = task_of(question)
    assert ask(question, task.fit(ByLabel(off=0)), task)["accuracy"].value == pytest.approx(
        float((task.test["cond"] > 0).double().mean())
    )
    with pytest.raises(InvalidInputError, match="no role 'cond'"):
        ask(LabelAccuracy(), task.fit(GaussianFit()), task)
    with pytest.raises(InvalidInputError, match="judge must name two roles"):
        LabelAccuracy(judge=["every"])


class ByWord(ByLabel):
    """The same for the words that the labels are called by."""

    def roles(self):
        return (Role(name="x1", axis="x1"), Role(name="cond", kind="labels", axis="x1", optional=True))


def test_labels_may_be_words():
    plain = task_of()
    words = np.array(["ash", "birch", "cedar"])[plain.values["cond"].numpy()]
    for given in (words, pd.Series(words)):
        task = Task.of(ByWord().roles(), {"x1": plain.values["x1"], "cond": given}, Split(test=0.5))
        judge, asked = LabelAccuracy()._judge(task)
        assert float((judge.predict(task.test["x1"]) == asked).double().mean()) == 1.0
        judge, asked = LabelAccuracy(target=["cedar"])._judge(task)
        assert asked.tolist() == [2]
