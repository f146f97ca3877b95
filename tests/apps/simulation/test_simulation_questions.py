import dataclasses

import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.simulation import TextToSimulation
from interpolants.apps.simulation.problems.plume import GaussianPlume
from interpolants.apps.simulation.simulation_questions import (
    ContinuedSimulations,
    PromptedSimulations,
    relative_l2,
)
from interpolants.framework.questions import Measured
from interpolants.framework.task import Split, Task


class Scripted:
    """A simulator whose answers are the truth, changed."""

    def __init__(self, truth, told=lambda u: u, free=lambda u: 0 * u, framed=lambda u: u):
        self.truth, self.changes = truth, {"told": told, "free": free, "framed": framed}

    def _made(self, n, change, members=False):
        made = [dataclasses.replace(one, values=self.changes[change](one.values)) for one in self.truth[:n]]
        return [dataclasses.replace(one, values=one.values[None]) for one in made] if members else made

    def sample(self, n, *, prompt=None, points=None, seed=0):
        return self._made(n, "free" if prompt is None else "told")

    def forecast(self, context, *, frames, members=1, seed=0):
        return self._made(len(context), "framed", members=True)


@pytest.fixture(scope="module")
def task():
    problem = GaussianPlume(points=(60, 80), frames=6, held_out=0.3)
    drawn = problem.sample(20, generator=torch.Generator().manual_seed(0))
    values = {"fields": drawn["fields"], "prompt": drawn["prompt"], "phrasing": drawn["phrasing"]}
    held = sorted({name for name in drawn["phrasing"] if name.startswith("held")})
    return Task.of(
        TextToSimulation().roles(),
        values,
        Split(by="group", role="phrasing", test=held),
        truths={"fields": problem},
    )


def test_the_relative_error_is_that_of_all_points_and_times():
    truth = torch.tensor([[3.0, 4.0]])
    assert relative_l2(torch.tensor([[3.0, 0.0]]), truth) == pytest.approx(0.8)


def test_phrasings_of_the_test_are_in_no_training_row(task):
    assert task.test["prompt"]
    starts = {text.split()[0] + text.split()[1] for text in task.test["prompt"]}
    assert not starts & {text.split()[0] + text.split()[1] for text in task.train["prompt"]}


def test_exact_answers_have_no_error_and_blank_ones_the_whole(task):
    found = PromptedSimulations(cases=4).measure(Scripted(task.test["fields"]), task).values
    assert_close(found["relative_l2"], torch.zeros(4).double())
    assert_close(found["unprompted"], torch.ones(4).double())
    assert found["ratio"].value == 0
    for name in ("resolved_error", "fit_residual", "place_error", "velocity_error", "width_error"):
        assert float(found[name].max()) < 1e-4, name


def test_a_prompt_that_tells_less_than_the_frame_shows_as_a_gain(task):
    simulator = Scripted(task.test["fields"], told=lambda u: 0.8 * u, framed=lambda u: 0.9 * u)
    found = PromptedSimulations(cases=4).measure(simulator, task).values
    assert_close(found["frame_gain"], torch.full_like(found["frame_gain"], 0.1), rtol=0, atol=1e-6)
    assert found["ratio"].value == pytest.approx(0.2, abs=1e-6)


def test_a_sample_that_breaks_the_equation_is_found_though_it_begins_rightly(task):
    def stops(u):
        return torch.cat([u[:4], 0.5 * u[4:]])

    found = PromptedSimulations(cases=4).measure(Scripted(task.test["fields"], told=stops), task).values
    assert_close(found["resolved_error"], torch.full_like(found["resolved_error"], 0.5), rtol=0, atol=1e-4)
    assert float(found["fit_residual"].max()) < 1e-4


def test_errors_by_frame_are_those_of_the_frames(task, monkeypatch):
    def half_at_last(u):
        return torch.cat([u[:-1], 0.5 * u[-1:]])

    simulator = Scripted(task.test["fields"], framed=half_at_last)
    monkeypatch.setattr("interpolants.apps.simulation.simulation_questions.with_seed", lambda *given: {})
    question = ContinuedSimulations(frames=1)
    found = question.measure(simulator, task)
    assert_close(found.values["last_frame"], torch.full_like(found.values["last_frame"], 0.5))
    assert_close(found.arrays["by_frame"][:-1], torch.zeros(5).double())
    (figure,) = question.figures(found, {}, task)
    assert figure.panels[0].series[0].name == "simulated at once"


def test_the_picture_has_the_meshes_of_the_truth(task):
    question = PromptedSimulations(cases=4)
    found = question.measure(Scripted(task.test["fields"]), task)
    (figure,) = question.figures(found, {}, task)
    assert [panel.title for panel in figure.panels][:3] == [
        "truth, 1",
        "from the prompt, 1",
        "without a prompt, 1",
    ]
    mark = figure.panels[0].series[0]
    assert len(mark.arrays.get("points", mark.arrays.get("x"))) == len(task.test["fields"][0].points)


def test_three_cases_are_drawn_each_as_the_truth_and_with_and_without_its_prompt():
    parts = {f"points{k}": torch.rand(6, 2, dtype=torch.float64) for k in range(4)}
    parts |= {f"{name}{k}": torch.rand(5, 6) for name in ("truth", "told", "free") for k in range(4)}
    (figure,) = PromptedSimulations().figures(Measured({}, parts), {}, None)
    assert [panel.title for panel in figure.panels][::3] == ["truth, 1", "truth, 2", "truth, 3"]
    assert len(figure.panels) == 9
