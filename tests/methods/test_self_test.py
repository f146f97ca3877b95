"""Verdicts of a method's own test, as scores and in words."""

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.capabilities import capability
from interpolants.framework.questions import ask
from interpolants.framework.self_checks import Check, CheckReport
from interpolants.framework.task import Task
from interpolants.methods.questions.self_test import SelfTest
from interpolants.methods.rivals.gaussian_fit import GaussianFit


class Checked(GaussianFit):
    def check_settings(self):
        """Nothing to refuse."""

    @capability()
    def check(self, *, n, seed):
        verdicts = [
            ("there and back", "pass", 0.01),
            ("SDE against data", "fail", 5.0),
            ("lost", "fail", float("nan")),
        ]
        return CheckReport(
            tuple(Check(name, verdict, value, 0.1, f"{n} draws") for name, verdict, value in verdicts)
        )


def test_verdicts_are_counted_and_told():
    x = torch.randn(40, 2)
    task = Task.of(GaussianFit().roles(), {"x1": x})
    found = ask(SelfTest(n=12), task.fit(Checked()), task)
    assert {score.name: score.value for score in found.scores} == {
        "failed": 2.0,
        "warned": 0.0,
    }
    assert found["failed"].floor == 0
    assert "| fail | SDE against data | 5 | 0.1 | 12 draws |" in found.texts["Each check"]
    assert found.findings[0].grave
    assert found.findings[0].text.startswith("Check 'SDE against data': ")
    with pytest.raises(InvalidInputError, match="must be able to check"):
        ask(SelfTest(), task.fit(GaussianFit()), task)
