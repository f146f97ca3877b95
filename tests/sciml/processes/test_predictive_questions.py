"""Questions about sequences of symbols, put to methods that know the truth."""

from typing import Any

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.answers import Ensemble
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.questions import ask
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.framework.task import Split, Task
from interpolants.methods.parts.series import series_role
from interpolants.sciml.processes import PVRNN
from interpolants.sciml.processes.predictive_questions import Continuations, FreeGeneration, by_phase
from interpolants.sciml.processes.problems.symbol_skeletons import hidden_regime, stochastic_skeleton


class Oracle(Method):
    """Knows the regimes; keeps nothing."""

    def roles(self) -> tuple[Role, ...]:
        return (series_role(),)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        return {}

    @capability()
    def sample(self, n: int, *, steps: int = 24, seed: int = 0) -> torch.Tensor:
        problem = stochastic_skeleton(length=steps)
        return problem.sample(n, generator=torch.Generator().manual_seed(seed))

    @capability(reads={"context": "series"}, like="context")
    def forecast(self, context: Any = None, *, members: int = 1, steps: int = 1) -> Ensemble:
        mean = hidden_regime().forecast(context.values[None], steps)
        return Ensemble(x=mean[:, None].expand(-1, members, -1, -1), dims=("time", "column"))


def task(problem, n=60):
    x = problem.sample(n, generator=torch.Generator().manual_seed(0))
    return Task.of((series_role(),), {"series": x}, Split(test=40), truths={"series": problem})


def test_the_exact_forecast_is_at_the_floor_and_the_last_value_above_it():
    asked = task(hidden_regime())
    answered = ask(Continuations(), asked.fit(Oracle()), asked)
    error = answered["error"]
    assert error.value == pytest.approx(error.floor, rel=1e-9)
    test = asked.test["series"]
    apart = (test[:, 11:12] - test[:, 12:18]).square().mean() / test.var(correction=0)
    assert answered["persistence"].value == pytest.approx(float(apart), rel=1e-9)


def test_sequences_of_the_problem_itself_obey_and_are_at_the_floor():
    asked = task(stochastic_skeleton())
    answered = ask(FreeGeneration(n=300), asked.fit(Oracle()), asked)
    assert answered["obeyed"].value == 1.0
    assert answered["chance"].value == pytest.approx(0.3, abs=0.02)
    assert answered["blocks"].value < 3 * answered["blocks"].floor < 0.05


def test_phases_of_deviations_by_hand():
    free = torch.zeros(1, 15, dtype=torch.bool)
    free[0, 2::3] = True
    spread = torch.tensor([[1.0, 2.0, 3.0] * 5])
    assert_close(by_phase(spread, free), torch.tensor([[2.0, 3.0, 1.0]]))


def test_numbers_of_a_network_are_its_own():
    asked = task(stochastic_skeleton(), 46)
    model = asked.fit(PVRNN(output="bernoulli", steps=10, window=4, iterations=2))
    answered = ask(FreeGeneration(n=20), model, asked)
    found = model.inferred()
    assert answered["complexity"].value == pytest.approx(float(found.divergence.mean()), rel=1e-6)
    assert answered["misfit"].value == pytest.approx(float(found.misfit.mean()), rel=1e-6)
    assert answered["exponent"].value == pytest.approx(float(model.exponents().exponents[0]))
    more = ask(Continuations(efforts=(0, 2), members=3), model, asked)
    assert more["ratio"].value == pytest.approx(more["error"].value / more["least_effort"].value)
    assert len(more.figures[0].panels) == 2


def test_what_does_not_fit_is_refused():
    asked = task(stochastic_skeleton())
    model = asked.fit(Oracle())
    with pytest.raises(InvalidInputError, match=r"a test series must have 30 \+ 6 values, got at most 24"):
        ask(Continuations(known=30), model, asked)
    x = asked.values["series"]
    plain = Task.of((series_role(),), {"series": x}, Split(test=40))
    with pytest.raises(InvalidInputError, match="the series must come from skeletons"):
        ask(FreeGeneration(), model, plain)
