"""A method on trial: a small instance, what it has learnt and what it answers, each made once for all laws."""

import copy
import functools
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from interpolants.foundations.card_file import Scopes
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import generator
from interpolants.foundations.registry import card_of
from interpolants.foundations.shared_memory import arrays_in
from interpolants.framework import stored
from interpolants.framework.method import MODEL, Method
from interpolants.framework.role import kind_of
from interpolants.framework.task import Task
from interpolants.runs.recipe import cell_name, make_method, make_recipe, make_task
from interpolants.runs.recipe_run import CellWork
from interpolants.runs.settings_files import find_config, read_settings
from interpolants.runs.values import Place
from interpolants.testing.asking import able, answers, call, inputs, plain


@dataclass(frozen=True)
class Instance:
    """An unfitted method, its data, and inputs of verbs that no test row has.

    Attributes:
        method: The method.
        task: Its data by role, parted.
        probe: Inputs by name.
    """

    method: Method
    task: Task
    probe: Mapping[str, Any] = field(default_factory=dict)


def of_recipe(kind: str, tables: Mapping[str, Any]) -> Callable[[], Instance]:
    """What makes fresh instances of a method as a recipe has it; all share the data, which no fit may change.

    Args:
        kind: Id of the method.
        tables: Those of the recipe. ``[quick]`` is laid over the others, if it is there. Tasks before the first one of
            the method are fitted, as it may read their models.

    Raises:
        InvalidInputError: If the recipe has no task of this method.
    """
    recipe = make_recipe(tables, quick="quick" in tables)
    kinds = [task.method["kind"] for task in recipe.tasks]
    if kind not in kinds:
        rule = f"its recipe must have a task with method.kind = {kind!r}"
        raise invalid(kind, rule, f"one of {', '.join(kinds)}")
    number = kinds.index(kind)
    own = recipe.tasks[number]
    models = {}
    with tempfile.TemporaryDirectory() as folder:
        for one in recipe.tasks[:number]:
            work = CellWork(one, recipe.seed, 1, Path(folder) / cell_name(one.name, recipe.seed, 1))
            _ = work.method  # fits and stores it
            models[one.name] = work.folder / MODEL
        place = Place(seed=recipe.seed, models=models.__getitem__)
        task, _ = make_task(own, make_method(own, recipe.seed), place)
    probe = {name: _probe(name, value) for name, value in own.probe.items()}
    return lambda: Instance(make_method(own, recipe.seed), task, probe)


def _probe(name: str, value: Any) -> Any:
    """A number, a list as a tensor, or ``{ normal = shape }``: standard normal numbers."""
    if isinstance(value, dict):
        return torch.randn(*value["normal"], generator=generator(0, "probe of a law", name))
    return torch.tensor(value) if isinstance(value, list) else value


@dataclass(frozen=True)
class FittedApart:
    """A method that was fitted to values which were overwritten afterwards, and fingerprints.

    Attributes:
        method: The method.
        before: Of the values before the fit.
        after: Of the values after the fit.
        learnt: Of what was learnt, before the values were overwritten.
        kept: And afterwards, before anything was asked.
    """

    method: Method
    before: str
    after: str
    learnt: str
    kept: str


@dataclass(frozen=True)
class Asked:
    """Whether a question and its answer, overwritten in place, changed what was given, or what was learnt.

    Attributes:
        verb: The question.
        given_is_left: The question left alone what it was asked with.
        learnt_is_left: And what was learnt.
        given_outlives: Overwriting the answer left alone what it was asked with.
        learnt_outlives: And what was learnt.
    """

    verb: str
    given_is_left: bool
    learnt_is_left: bool
    given_outlives: bool
    learnt_outlives: bool


class Trial:
    """What the laws of methods look at; nothing is fitted before the first of them asks.

    Args:
        make: Makes a fresh instance; all are equal.
        scopes: How far two of the laws hold, as the card declares.
    """

    def __init__(self, make: Callable[[], Instance], scopes: Scopes) -> None:
        self.fresh = make
        self.scopes = scopes

    @classmethod
    def of(cls, kind: type[Method], recipe: str | Path | Mapping[str, Any] | None = None) -> Self:
        """A method as a recipe has it.

        Args:
            kind: Its class.
            recipe: Name, file or tables of a recipe; the one that its card names if None.

        Raises:
            InvalidInputError: If the class has no card, or there is no such recipe.
        """
        card = card_of(kind)
        if card is None or card.scopes is None:
            remedy = "Name the package of its card in an entry point interpolants.cards, and install it."
            raise invalid(f"Trial.of({kind.__qualname__})", "a method must have a card", "none", remedy)
        if isinstance(recipe, Mapping):
            tables = recipe
        else:
            tables = read_settings(find_config(Path(card.recipe if recipe is None else recipe)))
        maker = functools.cache(lambda: of_recipe(card.id, tables))
        return cls(lambda: maker()(), card.scopes)

    @cached_property
    def fitted(self) -> tuple[Method, Instance, dict[str, int]]:
        """A fitted method, what it was made of, and its stages with their steps."""
        one, stages = self.fresh(), dict[str, int]()

        def watch(stage: str, k: int, steps: int) -> None:
            stages.setdefault(stage, steps)

        method = one.method.fit_roles(one.task.for_fit(one.method), watch=watch)
        return method, one, stages

    def fit(self, method: Method, **options: Any) -> Method:
        """Fit another one to the same data."""
        return method.fit_roles(self.fitted[1].task.for_fit(method), **options)

    def ask(self, method: Method) -> dict[str, Any]:
        """All answers of a method, by verb."""
        one = self.fitted[1]
        return answers(method, one.task, one.probe)

    @cached_property
    def answered(self) -> dict[str, Any]:
        """All answers of the fitted one."""
        return self.ask(self.fitted[0])

    @cached_property
    def fitted_apart(self) -> FittedApart:
        """Fitted once more, to values that it could write to, which are overwritten afterwards."""
        method = self.fresh().method
        data = own_memory(self.fitted[1].task.for_fit(method))
        before = _fingerprint_of(data)
        method.fit_roles(data)
        after, learnt = _fingerprint_of(data), stored.fingerprint(method.learnt())
        overwrite(_rows_in(method, data))
        return FittedApart(method, before, after, learnt, stored.fingerprint(method.learnt()))

    @cached_property
    def answered_apart(self) -> dict[str, Any]:
        """All answers of the one that was fitted once more, now that its data are overwritten."""
        return self.ask(self.fitted_apart.method)

    @cached_property
    def asked_apart(self) -> list[Asked]:
        """Every verb is asked with values that it could write to; then its answer is overwritten."""
        _, one, _ = self.fitted
        method, learnt = self.fitted_apart.method, self.fitted_apart.kept
        found = []
        for ability in able(method):
            given = own_memory(inputs(ability, method, one.task, one.probe))
            before = _fingerprint_of(given)
            answer = call(method, ability, given)
            left = _fingerprint_of(given) == before, stored.fingerprint(method.learnt()) == learnt
            if not isinstance(answer, Method):
                overwrite(answer)
            outlives = _fingerprint_of(given) == before, stored.fingerprint(method.learnt()) == learnt
            found.append(Asked(ability.verb, *left, *outlives))
        return found


def _fingerprint_of(values: dict[str, Any]) -> str:
    return stored.fingerprint({k: plain(v) for k, v in values.items()})


def _rows_in(method: Method, data: dict[str, Any]) -> list[Any]:
    """The values of roles with rows: problems and fitted methods are no data."""
    return [data[role.name] for role in method.roles() if role.name in data and kind_of(role).has_rows]


def overwrite(value: Any) -> None:
    """Write other numbers into all arrays of a value."""
    for array in arrays_in((value,)):
        if not isinstance(array, np.ndarray):
            array.detach().fill_(3)
        elif array.flags.writeable:
            array.fill(3)


def own_memory(values: dict[str, Any]) -> dict[str, Any]:
    """Contiguous copies, which a fit reads without a copy of its own; what holds no arrays as it is."""
    copies: dict[int, Any] = {}
    for array in arrays_in((values,)):
        copies[id(array)] = (
            array.clone(memory_format=torch.contiguous_format)
            if isinstance(array, torch.Tensor)
            else np.ascontiguousarray(array).copy()
        )
    return {k: v if isinstance(v, Method) else copy.deepcopy(v, copies) for k, v in values.items()}
