"""Questions to closures, where the answers are known."""

import math

import pytest
import torch
from tests.sciml.closures.test_moment_closure import runs

from interpolants.framework.questions import ask
from interpolants.framework.task import Split, Task
from interpolants.sciml import MomentClosure
from interpolants.sciml.closures.closure_terms import ClosureTerms
from interpolants.sciml.closures.long_run_averages import LongRunAverages


def answered(question, closure, **rivals):
    fields, parameters = runs(frames=13, count=3)
    method = MomentClosure(closure=closure)
    task = Task.of(method.roles(), {"fields": fields, "parameters": parameters}, Split(test=2))
    return ask(question, task.fit(method), task, [{"name": k, "twin": {"closure": k}} for k in rivals])


def test_the_closure_of_the_runs_itself_has_no_error():
    found = answered(LongRunAverages(), "bingham", quadratic=0)
    assert found["order_error"].value < 1e-3
    assert found["flow_error"].value < 1e-3
    assert found["spectrum_error"].value < 0.01
    assert found["order_error"].rivals["quadratic"] > 10 * found["order_error"].value
    assert 0.1 < found["order"].value < 1
    assert [figure.name for figure in found.figures] == ["averages", "order"]
    terms = answered(ClosureTerms(), "bingham")
    assert terms["second_moment"].value < 1e-12
    assert answered(ClosureTerms(), "quadratic")["second_moment"].value > 0.1
    nothing = answered(ClosureTerms(), "isotropic")["second_moment"].value
    assert nothing == pytest.approx(1, rel=1e-12)  # z_2 = 0 is off by all of it


def test_a_closure_that_diverges_has_an_infinite_error_and_a_finding():
    fields, parameters = runs(frames=13, count=3)
    wild = parameters * torch.tensor([4.0, 1, 3, 0.05, 1]).double()
    method = MomentClosure(closure="isotropic")
    task = Task.of(method.roles(), {"fields": fields, "parameters": wild}, Split(test=2))
    found = ask(LongRunAverages(), task.fit(method), task)
    assert math.isinf(found["order_error"].value)
    assert "no density" in found.findings[0].text
    assert found.figures == ()
