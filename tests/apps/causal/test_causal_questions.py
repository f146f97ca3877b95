"""The questions against answers that are the truth, or are nothing."""

import numpy as np
import pytest
import torch

from interpolants.apps.causal import (
    CodeDisentanglement,
    CounterfactualEffects,
    LinearCausalModel,
    PrincipalCodes,
    UnchangedImages,
)
from interpolants.apps.causal.causal_questions import _nan_deviation
from interpolants.apps.causal.problems.pendulum_shadow import PendulumShadow
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.questions import ask
from interpolants.framework.role import Role
from interpolants.framework.task import Task

PROBLEM = PendulumShadow()


class Oracle(Method):
    """True counterfactuals of images whose scenes it has been shown, and their true factors as codes."""

    def roles(self):
        return (Role(name="x"),)

    def learn(self, data, run):
        drawn = PROBLEM.sample(600, generator=torch.Generator().manual_seed(3))
        return {"x": drawn["x"].flatten(1), "scene": drawn["scene"]}

    def scenes(self, x):
        return self.state["scene"][torch.cdist(x.flatten(1), self.state["x"]).argmin(1)]

    @capability(like="x")
    def counterfactual(self, x, *, do=None):
        if do is None or not len(do):
            return x
        ((name, value),) = do.items()
        return PROBLEM.images(PROBLEM.act(self.scenes(x), name, value))

    @capability()
    def encode(self, x):
        return PROBLEM.factors(self.scenes(x))


@pytest.fixture(scope="module")
def task():
    drawn = PROBLEM.sample(600, generator=torch.Generator().manual_seed(3))
    roles = (Role(name="x"), Role(name="factors", gaps=True), Role(name="scene"))
    return Task.of(roles, drawn, truths={"x": PROBLEM})


@pytest.mark.slow
def test_the_truth_has_no_error_and_an_image_as_it_is_has_no_effect(task):
    question = CounterfactualEffects(do="angle", n=60)
    found = ask(question, task.fit(Oracle()), task, [task.fit(UnchangedImages())])
    value = {score.name: score.value for score in found.scores}
    still = {score.name: score.rivals["unchanged_images"] for score in found.scores}
    assert value["rmse"] == 0
    assert value["effect"] > 0.97
    assert value["effects"] > 0.97
    assert value["composition"] == 0
    # Its images are set to another value and read back as scenes by the nearest image: what is asked is far.
    assert still["rmse"] > 0.05
    assert still["effect"] < 0.1
    assert still["drift_ratio"] == pytest.approx(1)
    assert found["effect"].floor == pytest.approx(value["effect"])
    assert [figure.name for figure in found.figures] == ["counterfactuals"]


def test_true_factors_as_codes_are_disentangled_and_principal_components_are_not(task):
    found = ask(CodeDisentanglement(), task.fit(Oracle()), task, [task.fit(PrincipalCodes())])
    assert found["disentanglement"].value > 0.9
    assert found["disentanglement"].rivals["principal_codes"] < 0.5


def test_without_a_problem_behind_the_data_factors_are_read_by_regression(task):
    train = {name: value for name, value in task.values.items() if name != "scene"}
    names = [str(name) for name in PROBLEM.graph.names]
    plain = Task.of((Role(name="x"), Role(name="factors", gaps=True)), train)
    model = plain.fit(LinearCausalModel(graph=PROBLEM.graph))
    found = ask(CounterfactualEffects(do="light", effects=names[2:], names=names, n=40), model, plain)
    assert {score.name for score in found.scores} >= {"effect", "drift", "composition"}
    assert "rmse" not in {score.name for score in found.scores}


def test_a_factor_that_there_is_not_is_refused(task):
    with pytest.raises(InvalidInputError, match="Did you mean 'angle'"):
        ask(CounterfactualEffects(do="angel"), task.fit(UnchangedImages()), task)


def test_a_direction_along_which_an_image_varies_is_its_code(generator):
    along = torch.randn(1, 3, 3, generator=generator)
    size = torch.randn(40, generator=generator)
    codes = PrincipalCodes(components=1).fit(size[:, None, None, None] * along).encode(2 * along[None])
    assert float(codes.abs()) == pytest.approx(float((2 * along - size.mean() * along).norm()), rel=1e-4)


def test_deviations_of_factors_with_gaps_are_those_of_what_is_known(generator):
    x = torch.randn(50, 3, generator=generator, dtype=torch.float64) * torch.tensor([1.0, 5.0, 0.1]) + 2
    x[torch.rand(50, 3, generator=generator) < 0.4] = torch.nan
    assert np.allclose(_nan_deviation(x), np.nanstd(x, axis=0))
