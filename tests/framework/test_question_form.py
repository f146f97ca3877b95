"""Questions that are made of functions: settings, floors, and what they keep; against one written as a class."""

import inspect
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import pytest
import torch
from annotated_types import Ge

from interpolants.foundations.asked import invalid
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.kinds import Count, Share
from interpolants.foundations.said import arguments
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.question_form import Ask, question
from interpolants.framework.questions import About, Measured, Number, Question, ask
from interpolants.framework.role import Role
from interpolants.framework.task import Split, Task
from interpolants.methods import MeanValue


def drawn(question: Any, own: Measured, rivals: Mapping[str, Measured], task: Task) -> list[Figure]:
    line = Series(mark="line", arrays={"x": own.arrays["off"], "y": own.arrays["off"]})
    return [Figure(name="off", panels=(Panel(series=(line,), x=Axis(label=question.unit)),), caption="")]


def not_both(question: Any) -> None:
    if question.share and question.times > 1:
        raise invalid("share must be 0 where there are several times", question.share)


@question(
    needs="predict",
    numbers={
        "off": About("Error in {unit}", unit="{unit}", floor_of="training values"),
        "largest": About("Largest error", floor=0.0),
    },
    reads=lambda question: (Role(name=question.group, kind="labels"),) if question.group else (),
    floors="train",
    figures=drawn,
    check=not_both,
)
def offsets(
    ask: Ask,
    *,
    unit: str = "m",
    times: Count = 1,
    share: Share = 0.0,
    group: str = "",
    most: Annotated[int, Ge(2)] | None = None,
) -> dict[str, Number]:
    """How far predictions are.

    Args:
        ask: Task and method.
        unit: Unit of the values.
        times: Factor.
        share: Of nothing.
        group: Role of labels.
        most: Most rows.
    """
    truth = ask.task.test["values"][:most].double()
    near = ask.task.train["values"].double().mean() if ask.method is None else _predicted(ask)[:most]
    off = times * (truth - near).abs()
    ask.keep(off=off)
    ask.find("It is off." if ask.method is not None else "", grave=False, remedy="Learn.")
    return {"off": float(off.mean()), "largest": float(off.max())}


def _predicted(asked: Ask) -> torch.Tensor:
    found: torch.Tensor = asked.task.call(asked.method, "predict").mean.reshape(-1).double()
    return found


@dataclass(frozen=True, kw_only=True)
class Offsets(Question):
    """The same as a class."""

    needs: ClassVar[str] = "predict"

    def measure(self, method: Any, task: Task) -> Measured:
        off = (task.test["values"].double() - _predicted(Ask(task, method))).abs()
        return Measured({"off": float(off.mean()), "largest": float(off.max())}, {"off": off})


@pytest.fixture
def task() -> Task:
    y = torch.arange(20.0)
    return Task.of(MeanValue().roles(), {"points": y[:, None], "values": y}, Split(by="time", test=0.5))


def test_it_answers_as_a_class_does_and_knows_floors_figures_and_findings(task):
    method = task.fit(MeanValue())
    own, plain = ask(offsets(unit="km"), method, task), ask(Offsets(), method, task)
    assert [own[name].value for name in ("off", "largest")] == [
        plain[name].value for name in ("off", "largest")
    ]
    assert (own["off"].title, own["off"].unit) == ("Error in km", "km")
    assert own["off"].floor == pytest.approx(10.0)  # test values 10 ... 19 beside the mean of 0 ... 9
    assert own["largest"].floor == 0.0
    assert own.figures[0].panels[0].x.label == "km"
    assert torch.equal(own.arrays["off"], plain.arrays["off"])
    (finding,) = own.findings  # none of the floor's
    assert (finding.text, finding.grave, finding.remedy) == ("It is off.", False, "Learn.")
    assert ask(offsets(times=3), method, task)["off"].value == pytest.approx(3 * plain["off"].value)


def test_its_settings_are_declared():
    made = offsets(times=2, group="who")
    assert made == offsets(group="who", times=2)
    assert pickle.loads(pickle.dumps(made)) == made
    assert [role.name for role in made.reads()] == ["who"]
    assert type(made).__name__ == "offsets"
    assert list(arguments(offsets)) == list(inspect.signature(offsets).parameters)
    assert list(inspect.signature(offsets).parameters) == ["unit", "times", "share", "group", "most"]
    assert inspect.signature(offsets).parameters["times"].annotation is int
    with pytest.raises(InvalidInputError, match=r"^offsets: times must be a whole number >= 1, got 0"):
        offsets(times=0)
    with pytest.raises(InvalidInputError, match=r"^offsets: most must be a whole number >= 2, got 1"):
        offsets(most=1)
    with pytest.raises(
        InvalidInputError, match=r"^offsets: share must be 0 where there are several times, got 0.5"
    ):
        offsets(times=2, share=0.5)
    with pytest.raises(
        InvalidInputError, match=r"every argument must be a setting, got 'tims'. Did you mean 'times'"
    ):
        offsets(tims=2)


def test_a_setting_that_would_hide_what_questions_have_is_refused():
    with pytest.raises(TypeError, match="the setting 'front' hides"):

        @question(needs="predict", numbers={})
        def bad(ask: Ask, *, front: str = "") -> dict[str, Number]:
            return {}


def test_errors_inside_begin_with_its_name(task):
    @question(needs="predict", numbers={})
    def refusing(ask: Ask) -> dict[str, Number]:
        raise invalid("rows must be others", "these")

    with pytest.raises(InvalidInputError, match=r"^refusing: rows must be others, got these"):
        ask(refusing(), task.fit(MeanValue()), task)
