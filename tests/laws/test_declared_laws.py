"""What is declared holds: settings of all classes and arguments of all verbs refuse what lies outside of their kinds.

Each refusal begins with the name of what was called.
"""

import ast
import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest

from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.kinds import Answer, Count, NonNegative, OneOrEach, Positive, Share, checker
from interpolants.framework import capabilities
from interpolants.framework.capabilities import capabilities_of
from interpolants.framework.method import Method
from laws.declared import wrong
from laws.instances import instance, method_cards
from source_trees import MODULES, SOURCE, nodes_of

pytestmark = pytest.mark.usefixtures("rooms")

METHODS = [card for card in method_cards() if " " not in card.id]
each = pytest.mark.parametrize("card", METHODS, ids=lambda card: card.id)


def taken(who: str, ask: Callable[[Any], object], kind: Any) -> Iterator[str]:
    """Values outside of a kind that are taken, or refused by another name or in Python's own words."""
    for value in wrong(kind):
        try:
            ask(value)
        except InvalidInputError as error:
            if not re.match(rf"{re.escape(who)}( \(in [\w.]+\))?: ", str(error)):
                yield f"{value!r}: not by {who}: {error}"
        except Exception as error:  # noqa: BLE001  # what Python says of it is a fault
            yield f"{value!r}: {type(error).__name__}: {error}"
        else:
            yield f"{value!r}: taken"


def faults_of_settings(kind: Any, settings: dict[str, Any]) -> list[str]:
    """Of all declared settings of a class, made with these."""
    return [
        f"{field.name} = {fault}"
        for field in dataclasses.fields(kind)
        if field.init and checker(field.type) is not None
        for fault in taken(kind.__name__, lambda v, n=field.name: kind(**{**settings, n: v}), field.type)  # type: ignore[misc]
    ]


@each
def test_settings_outside_of_their_kinds_are_refused(card: Any) -> None:
    method = instance(card).method
    assert not faults_of_settings(type(method), method.params())


def faults_of_verbs(method: Method) -> list[str]:
    """Of all declared arguments of the verbs of a method, asked without rows: arguments are checked before these."""
    found = []
    for verb, one in capabilities_of(type(method)).items():
        needed = {
            n: None for n, p in one.parameters.items() if p.default is p.empty and p.kind != p.VAR_KEYWORD
        }
        declared = {n: p.annotation for n, p in one.options.items() if checker(p.annotation) is not None}
        for name, kind in declared.items():
            asked = lambda v, n=name, verb=verb, needed=needed: getattr(method, verb)(**{**needed, n: v})  # noqa: E731
            # None for a setting of the method is as if it was not given.
            kinds = kind | None if name in one.settings else kind
            found += [
                f"{verb}({name}={fault}" for fault in taken(f"{type(method).__name__}.{verb}", asked, kinds)
            ]
    return found


@each
def test_arguments_outside_of_their_kinds_are_refused(card: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "_check_able", lambda one, method, who: None)
    assert not faults_of_verbs(instance(card).method)


def test_dataclasses_of_declared_fields_refuse_too() -> None:
    """All that can be made without arguments; the others are made by what uses them."""
    classes = {kind for kind in _below(Checked) if kind.__module__.startswith("interpolants.")}
    concrete = [kind for kind in classes if dataclasses.is_dataclass(kind) and not inspect.isabstract(kind)]
    made = [kind for kind in concrete if not issubclass(kind, Method)]
    assert made
    found = {}
    for kind in made:
        needed = [
            f for f in dataclasses.fields(kind) if f.default is f.default_factory is dataclasses.MISSING
        ]
        if not needed and (faults := faults_of_settings(kind, {})):
            found[kind.__name__] = faults
    assert not found


def _below(kind: type) -> Iterator[type]:
    for one in kind.__subclasses__():
        yield one
        yield from _below(one)


# --- the law sees a class that breaks it ----------------------------------------------------------------------


@dataclasses.dataclass
class Good(Checked):
    """All forms of kinds."""

    count: Count = 1
    share: Share | None = None
    level: Literal["auto"] | Positive = "auto"
    widths: OneOrEach[Count] = 3
    pair: tuple[NonNegative, NonNegative] = (0, 1)
    core: Answer[Literal["a", "b"]] = "a"
    flag: bool = False


class Lenient(Good):
    """It keeps what was given, whatever it is."""

    def __post_init__(self) -> None:
        pass


class Renamed(Good):
    """It refuses by another name."""

    def __post_init__(self) -> None:
        Good(**vars(self))


def test_the_law_is_kept_by_all_forms_of_kinds_and_sees_what_breaks_it() -> None:
    assert not faults_of_settings(Good, {})
    asked = sum(len(wrong(field.type)) for field in dataclasses.fields(Good))
    assert len(faults_of_settings(Lenient, {})) == asked > 40
    assert len(faults_of_settings(Renamed, {})) == asked
    assert "not by Renamed: Good: count must be" in faults_of_settings(Renamed, {})[0]
    assert inspect.signature(Good).parameters["count"].annotation is int


# Classes that check a setting by hand when they are made, and why its kind cannot.
BY_HAND = {
    "apps/multimodal/multimodal.py:MultimodalDiffusion": "keys of tables are names of modalities, another setting",
    "dynamics/solver_table.py:FittedSolver": "lengths and order of its tables follow from each other",
    "fields/continuity.py:Trace": "errors name the argument of many functions, and not this class",
    "methods/parts/conditional_flow.py:ConditionalFlow": "made by methods, in whose name it refuses",
    "methods/rivals/statsmodels_rivals.py:_Classical": "memory is bounded by season",
    "nets/embeddings.py:ConditionKinds": "made by networks, in whose name it refuses",
    "pde/ordinary.py:ODE": "a number alone is a start too",
    "problems/dynamical_systems.py:DynamicalSystem": "names of parameters are those of a system",
    "runs/optuna_sweep.py:OptunaSweep": "made by a command, in whose name it refuses",
    "sciml/bayes/few_shot_classifier.py:FewShotClassifier": "rows are bounded by shots",
    "sciml/bayes/first_order_maml.py:FirstOrderMAML": "rows are bounded by shots",
    "sciml/processes/kernels/markov_fractional.py:MarkovMotion": "horizon is bounded by finest",
    "sciml/processes/series_network.py:SeriesNetwork": "the second limit is bounded by the first",
    "sciml/symbolic/problems/equation_families.py:EquationFamilies": "end is bounded by window",
}


def test_settings_are_checked_by_their_kinds_but_for_a_list() -> None:
    found = set()
    for path in MODULES:
        nodes = nodes_of(path)
        checks = {
            alias.asname or alias.name
            for node in nodes
            if isinstance(node, ast.ImportFrom) and (node.module or "").endswith("foundations.checks")
            for alias in node.names
        }
        for kind in (node for node in nodes if isinstance(node, ast.ClassDef) and checks):
            for made in kind.body:
                if isinstance(made, ast.FunctionDef) and made.name in ("__post_init__", "check_settings"):
                    calls = (node.func for node in ast.walk(made) if isinstance(node, ast.Call))
                    if any(isinstance(called, ast.Name) and called.id in checks for called in calls):
                        found.add(f"{path.relative_to(SOURCE).as_posix()}:{kind.name}")
    assert found == {place for place in BY_HAND if (SOURCE / place.partition(":")[0]).exists()}
