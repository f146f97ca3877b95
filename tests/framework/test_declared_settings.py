"""Settings that are declared once: checks, arguments of verbs, help and guards follow."""

import inspect
from typing import Annotated, Any, Literal

import pytest
import torch
from torch import Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.kinds import Answer, Check, Count, NonNegative, OneOrEach
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role


def doubled(who: str, value: Any) -> Any:
    return 2 * value


class Scaled(Method):
    """Multiply rows.

    Example::

        Scaled(power=2).fit(x)

    Raises:
        InvalidInputError: If a setting is refused.
    """

    power: Count = 1
    """Power of every number."""
    widths: OneOrEach[Count] = (4, 4)
    """Widths, one for all layers or one for each."""
    core: Annotated[Any, Check(doubled, "a number")] = 1
    """Doubled when it is made."""
    strength: Answer[NonNegative] = 4.0
    """Factor of the answer; 0 gives
    zeros."""
    mode: Answer[Literal["plus", "minus"]] = "plus"
    """Sign of the answer."""
    note: str = ""

    def roles(self) -> tuple[Role, ...]:
        return (Role(name="x"),)

    def learn(self, data: dict[str, Any], run: Any) -> Any:
        return {"mean": data["x"].mean(0)}

    @capability(like="x")
    def predict(self, x: Tensor, *, twice: bool = False, **settings: Any) -> Tensor:
        """Answer.

        Args:
            x: Rows.
            twice: Whether to answer twice.
            settings: Settings of answers, for this call.

        Returns:
            Rows.
        """
        sign = 1 if self.mode == "plus" else -1
        return sign * self.strength * (x**self.power) * (2 if twice else 1)

    @capability(like="x", takes=("mode",))
    def encode(self, x: Tensor) -> Tensor:
        """Sign alone."""
        return x if self.mode == "plus" else -x

    @capability(like="x")
    def transport(self, x: Tensor) -> Tensor:
        """No settings of answers."""
        return x


class Squared(Scaled):
    """Scaled with another default."""

    power = 2


ROWS = torch.tensor([[1.0, 2.0], [3.0, 4.0]])


@pytest.fixture
def fitted() -> Scaled:
    return Scaled().fit(ROWS)


def test_a_setting_is_checked_by_its_kind_and_kept_as_it_was_asked_for() -> None:
    one = Scaled(power=3, core=5, strength=torch.tensor(2))
    assert (one.core, one.strength, type(one.strength)) == (10, 2.0, float)
    assert one.params()["core"] == 5
    with pytest.raises(InvalidInputError, match=r"^Scaled: power must be a whole number >= 1, got 0"):
        Scaled(power=0)
    with pytest.raises(InvalidInputError, match=r"^Scaled: mode must be one of plus, minus"):
        one.set_params(mode="pluss")
    assert one.clone().core == 10  # not 20


def test_a_new_default_alone_keeps_the_kind() -> None:
    assert Squared().power == 2
    with pytest.raises(InvalidInputError, match=r"^Squared: power must be a whole number >= 1, got 0"):
        Squared(power=0)


def test_a_declared_setting_cannot_be_repeated_with_a_kind_that_is_not_checked() -> None:
    with pytest.raises(TypeError, match=r"the setting 'power' repeats a declared one .* Write .* power = "):

        class Loose(Scaled):
            power: int = 3


def test_settings_of_answers_are_arguments_of_verbs_that_take_settings(fitted: Scaled) -> None:
    assert Scaled.answering == ("strength", "mode")
    asked = fitted.predict(ROWS, strength=2, mode="minus")
    assert torch.equal(asked, fitted.clone().set_params(strength=2, mode="minus").fit(ROWS).predict(ROWS))
    assert torch.equal(asked, -2 * ROWS)
    assert torch.equal(fitted.predict(ROWS), 4 * ROWS)  # of that call alone
    assert fitted.params()["strength"] == 4.0
    assert torch.equal(fitted.predict(ROWS, strength=None), 4 * ROWS)
    assert torch.equal(fitted.encode(ROWS, mode="minus"), -ROWS)
    for verb, name in (("encode", "strength"), ("transport", "mode")):
        with pytest.raises(InvalidInputError, match="the argument must be one"):
            getattr(fitted, verb)(ROWS, **{name: 1})


def test_a_verb_refuses_by_its_own_name(fitted: Scaled) -> None:
    with pytest.raises(InvalidInputError, match=r"^Scaled.predict: strength must be finite and >= 0, got -1"):
        fitted.predict(ROWS, strength=-1)
    with pytest.raises(InvalidInputError, match=r"^Scaled.predict: twice must be True or False, got 'False'"):
        fitted.predict(ROWS, twice="False")
    with pytest.raises(InvalidInputError, match=r"'strenght'\. Did you mean 'strength'\?"):
        fitted.predict(ROWS, strenght=1)


def test_what_was_learnt_stays_when_an_answer_changes(fitted: Scaled) -> None:
    assert fitted.set_params(strength=0).is_fitted
    assert not fitted.set_params(power=2).is_fitted


def test_the_help_tells_kinds_and_sentences() -> None:
    text = inspect.getdoc(Scaled) or ""
    assert "power (whole number >= 1): Power of every number." in text
    assert "strength (number >= 0): Factor of the answer; 0 gives zeros." in text
    assert 'mode ("plus" | "minus"): Sign of the answer.' in text
    assert "core (a number): Doubled when it is made." in text
    assert text.index("Scaled(power=2)") > text.index("Args:") > text.index("Multiply rows.")
    assert "power (whole number >= 1): Power of every number." in (inspect.getdoc(Squared) or "")
    signature = inspect.signature(Scaled)
    assert signature.parameters["power"].annotation is int
    assert signature.parameters["strength"].default == 4.0


def test_the_help_of_a_verb_tells_its_settings() -> None:
    text = inspect.getdoc(Scaled.predict) or ""
    assert "    strength (number >= 0): Factor of the answer; 0 gives zeros." in text
    assert "settings:" not in text
    assert "Returns:" in text
    assert str(inspect.signature(Scaled.predict).parameters["strength"]) == "strength: float = self.strength"
    assert "strength" not in inspect.signature(Scaled.encode).parameters


def test_a_dataclass_is_checked_likewise() -> None:
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Refined(Checked):
        """How to refine."""

        steps: Count = 3

        def check_settings(self) -> None:
            if self.steps == 13:
                raise ValueError("13")

    assert Refined(steps=4).steps == 4
    with pytest.raises(InvalidInputError, match=r"^Refined: steps must be a whole number >= 1, got 0"):
        Refined(steps=0)
    with pytest.raises(ValueError, match="13"):
        Refined(steps=13)


def test_settings_of_a_loop_are_named_in_one_line() -> None:
    from interpolants.framework.trained import Trained

    class Learner(Trained):  # no method: it is only made
        """Learn.

        Args:
            steps: Steps of each of two stages.
            width: Width.
        """

        width: int = 3
        steps = 7

    text = inspect.getdoc(Learner) or ""
    assert "    steps: Steps of each of two stages.\n    width: Width." in text
    assert "Further settings are those of :class:`LoopSettings`: ``batch_size``, ``lr``," in text
    assert text.index("``shard_within``.") < text.index("Args:")
    assert Learner().training().steps == 7
    with pytest.raises(InvalidInputError, match=r"^Learner: momentum goes with sgd and rmsprop, got adam"):
        Learner(momentum=0.5)
    with pytest.raises(InvalidInputError, match=r"^Learner: lr must lie in \(0, 1e\+06\], got 0"):
        Learner(lr=0)
    with pytest.raises(
        InvalidInputError, match=r"^Learner \(in GroupSettings\): lr must be finite and > 0, got 0"
    ):
        Learner(groups={"net": {"lr": 0}})
    with pytest.raises(
        InvalidInputError, match=r"^Learner: every key of groups.net must be a setting of a group, got 'lrr'"
    ):
        Learner(groups={"net": {"lrr": 1}})
