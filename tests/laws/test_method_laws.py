"""What every method keeps, each law as far as the method's card declares.

A member supplies no test: its instance is the ``[quick]`` part of its recipe, see ``instances``. Exemptions are skips
with the reason, and a test prints them.
"""

import copy
import dataclasses
import functools
import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.registry import stored_kinds
from interpolants.foundations.shared_memory import arrays_in
from interpolants.framework import stored
from interpolants.framework.capabilities import NotAbleError, leading_arguments
from interpolants.framework.method import Method, load
from interpolants.framework.role import kind_of
from interpolants.training.settings import FREE
from laws.asking import able, answers, call, close, count, inputs, plain, rows_of, same, same_numbers, some
from laws.instances import Instance, instance, method_cards
from laws.newcomer import Newcomer
from laws.stored_members import kinds_in

pytestmark = pytest.mark.usefixtures("rooms")

METHODS = method_cards()
each = pytest.mark.parametrize("card", METHODS, ids=lambda card: card.id)


def fresh(card: Any) -> Instance:
    """An instance that nobody has used; bad members put another function here."""
    return instance(card)


@functools.cache
def fitted(card: Any) -> tuple[Method, Instance, dict[str, int]]:
    """A fitted method, what it was made of, and its stages with their steps."""
    one, stages = fresh(card), {}
    method = one.method.fit_roles(
        one.task.for_fit(one.method), watch=lambda stage, k, steps: stages.setdefault(stage, steps)
    )
    return method, one, stages


@functools.cache
def answered(card: Any) -> dict[str, Any]:
    """All its answers."""
    method, one, _ = fitted(card)
    return answers(method, one.task, one.probe)


@functools.cache
def fitted_apart(card: Any) -> tuple[Method, str, str, str]:
    """Fitted once more, on values that it could write to, which are overwritten afterwards.

    Fingerprints: of the values before and after the fit, and of what was learnt before they were overwritten.
    """
    method = fresh(card).method
    data = own_memory(fitted(card)[1].task.for_fit(method))
    before = fingerprint_of(data)
    method.fit_roles(data)
    after, learnt = fingerprint_of(data), stored.fingerprint(method.learnt())
    overwrite(rows_in(method, data))
    return method, before, after, learnt


@functools.cache
def answered_apart(card: Any) -> dict[str, Any]:
    """All answers of the one that was fitted once more, now that its data are overwritten."""
    one = fitted(card)[1]
    return answers(fitted_apart(card)[0], one.task, one.probe)


@dataclasses.dataclass
class Asked:
    """Whether a question and its answer, overwritten in place, changed what was given, or what was learnt."""

    verb: str
    given_is_left: bool
    learnt_is_left: bool
    given_outlives: bool
    learnt_outlives: bool


@functools.cache
def asked_apart(card: Any) -> list[Asked]:
    """Every verb is asked with values that it could write to; then its answer is overwritten."""
    _, one, _ = fitted(card)
    method = fitted_apart(card)[0]
    learnt = stored.fingerprint(method.learnt())
    found = []
    for ability in able(method):
        given = own_memory(inputs(ability, method, one.task, one.probe))
        before = fingerprint_of(given)
        answer = call(method, ability, given)
        left = fingerprint_of(given) == before, stored.fingerprint(method.learnt()) == learnt
        if not isinstance(answer, Method):
            overwrite(answer)
        outlives = fingerprint_of(given) == before, stored.fingerprint(method.learnt()) == learnt
        found.append(Asked(ability.verb, *left, *outlives))
    return found


def fingerprint_of(values: dict[str, Any]) -> str:
    return stored.fingerprint({k: plain(v) for k, v in values.items()})


def rows_in(method: Method, data: dict[str, Any]) -> list[Any]:
    """The values of roles with rows: problems and fitted methods are no data."""
    return [data[role.name] for role in method.roles() if role.name in data and kind_of(role).has_rows]


def overwrite(value: Any) -> None:
    """Write other numbers into all arrays of a value."""
    for array in arrays_in((value,)):
        if isinstance(array, np.ndarray):
            array.flags.writeable and array.fill(3)
        else:
            array.detach().fill_(3)


def exempt(law: str, card: Any) -> str:
    """Why a law does not hold for a method, as far as can be known before it is tried; empty where it does."""
    if law == "rows" and card.scopes.rows.startswith(("set", "none")):
        return f"rows = {card.scopes.rows}"
    if law == "resume" and card.scopes.resume.startswith("none"):
        return f"resume = {card.scopes.resume}"
    if law in ("resume", "stopped") and not fitted(card)[2]:
        return "the fit has no stages"
    if law == "containers" and not tabular(card):
        return "no role is a table"
    return ""


def skip_if_exempt(law: str, card: Any) -> None:
    if reason := exempt(law, card):
        pytest.skip(reason)


def fit(card: Any, method: Method, **options: Any) -> Method:
    """Fit on the data of the instance."""
    return method.fit_roles(fitted(card)[1].task.for_fit(method), **options)


# --- fits ----------------------------------------------------------------------------------------------------


@each
def test_fitted_twice_the_same_bits(card):
    method, one, _ = fitted(card)
    assert fitted_apart(card)[3] == stored.fingerprint(method.learnt())
    assert same(answers(method, one.task, one.probe), answered(card)), "asked again"


@each
def test_what_was_learnt_outlives_the_data(card):
    """The caller's arrays are overwritten after the fit."""
    assert fitted_apart(card)[3] == stored.fingerprint(fitted_apart(card)[0].learnt())
    assert same(answered_apart(card), answered(card))
    method = fresh(card).method
    data = own_memory(fitted(card)[1].task.for_fit(method))
    if wide := {
        r.name: data[r.name].double() for r in method.roles() if r.exact and is_single(data.get(r.name))
    }:
        method.fit_roles({**data, **wide})  # read without a copy in their precision alone
        learnt = stored.fingerprint(method.learnt())
        overwrite(wide)
        assert stored.fingerprint(method.learnt()) == learnt


def is_single(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype == torch.float32


@each
def test_saved_and_loaded_the_same_answers_from_plain_files(card, tmp_path):
    method, one, _ = fitted(card)
    back = load(method.save(tmp_path / "model"))
    assert type(back) is type(method)
    assert same(back, method)
    assert same(answers(back, one.task, one.probe), answered(card))
    files = [file for file in (tmp_path / "model").rglob("*") if file.is_file()]
    assert {file.suffix for file in files if file.name != "README.md"} <= {".json", ".safetensors"}
    assert same(load(back.save(tmp_path / "again")), method)


@each
def test_its_files_name_members_of_declared_kinds_alone(card):
    """While a folder is read no other kind is built: its card, or one of its kind, says ``stored = true``."""
    found = kinds_in(stored.pack(fitted(card)[0], {}))
    assert found <= stored_kinds(), found - stored_kinds()


def test_kinds_that_files_name_are_shown(capsys):
    found: dict[str, list[str]] = {}
    for card in METHODS:
        for kind in kinds_in(stored.pack(fitted(card)[0], {})):
            found.setdefault(kind, []).append(card.id)
    with capsys.disabled():
        print(f"\nkinds in files: {', '.join(f'{kind} {len(ids)}' for kind, ids in sorted(found.items()))}")
    assert {"base", "coupling", "envelope", "method", "net", "operator", "path", "problem"} <= set(found)


@pytest.fixture(scope="module")
def newcomer():
    made = Newcomer()
    yield made
    made.close()


# Not a law that bad members are tried against: members of the rooms, which no other process knows, show it red.
@pytest.mark.slow
@pytest.mark.parametrize("member", METHODS, ids=lambda card: card.id)
def test_a_process_that_has_seen_nothing_of_the_library_loads_it(member, newcomer, tmp_path):
    method = fitted(member)[0]
    said = newcomer.loads(method.save(tmp_path / "model"))
    if member.entry.startswith("rooms."):
        assert said.startswith("InvalidInputError")
    else:
        assert said == type(method).__name__


@each
def test_pickled_for_another_process_the_same_answers(card):
    method, one, _ = fitted(card)
    back = pickle.loads(pickle.dumps(method))
    assert same(back, method)
    assert same(answers(back, one.task, one.probe), answered(card))
    assert same(pickle.loads(pickle.dumps(method.clone())), method.clone())


@each
def test_a_refused_or_stopped_fit_changes_nothing(card):
    method, _, stages = fitted(card)
    one = method.clone().take_over(method.learnt())
    before = stored.fingerprint(one)
    with pytest.raises(InvalidInputError):
        one.fit_roles({})
    for stage, steps in stages.items():
        with pytest.raises(StoppedError):
            fit(card, one, watch=stop_at(stage, max(1, steps // 2)))
    assert stored.fingerprint(one) == before


class StoppedError(Exception):
    """What a test stops a fit with."""


def stop_at(stage: str, step: int) -> Any:
    def watch(name: str, k: int, steps: int) -> None:
        if (name, k) == (stage, step):
            raise StoppedError

    return watch


@each
def test_a_misspelt_name_is_answered_with_the_nearest(card):
    method, one, _ = fitted(card)
    with pytest.raises(InvalidInputError, match="Did you mean 'seed'"):
        type(method)(seeed=1)
    with pytest.raises(InvalidInputError, match="Did you mean 'seed'"):
        method.clone().set_params(seeed=1)
    role = method.roles()[0].name
    with pytest.raises(InvalidInputError, match=f"Did you mean '{role}'"):
        method.clone().fit(**one.task.for_fit(method), **{f"{role}_": 1})
    with pytest.raises(InvalidInputError, match="Did you mean 'progress'"):
        method.clone().fit(**one.task.for_fit(method), progres=True)
    for ability in able(method):
        given, name = inputs(ability, method, one.task, one.probe), next(iter(ability.parameters), "")
        # A verb that passes options on knows their names, and not its own among them.
        open_ended = any(p.kind is p.VAR_KEYWORD for p in ability.parameters.values())
        words = f"Did you mean '{name}'" if name and not open_ended else "must"
        with pytest.raises(InvalidInputError, match=words):
            call(method, ability, given, **{f"{name or 'x'}_": 1})


@each
def test_a_fit_leaves_the_data_alone(card):
    _, before, after, _ = fitted_apart(card)
    assert before == after
    for asked in asked_apart(card):
        assert asked.given_is_left, asked.verb
        assert asked.learnt_is_left, f"{asked.verb} changes what was learnt"


@each
def test_an_answer_is_the_callers_own(card):
    """Overwritten in place it changes neither what was asked with nor what was learnt."""
    for asked in asked_apart(card):
        assert asked.given_outlives, f"{asked.verb} answers with a view of what was given"
        assert asked.learnt_outlives, f"{asked.verb} answers with a view of what was learnt"


def own_memory(values: dict[str, Any]) -> dict[str, Any]:
    """Contiguous copies, which a fit reads without a copy of its own; what holds no arrays as it is."""
    copies: dict[int, Any] = {}
    for array in arrays_in((values,)):
        tensor = isinstance(array, torch.Tensor)
        copies[id(array)] = (
            array.clone(memory_format=torch.contiguous_format)
            if tensor
            else np.ascontiguousarray(array).copy()
        )
    return {k: v if isinstance(v, Method) else copy.deepcopy(v, copies) for k, v in values.items()}


@each
def test_its_verbs_take_what_they_take_everywhere(card):
    method, _, _ = fitted(card)
    for one in able(method):
        leading = leading_arguments(one.verb)
        assert tuple(one.parameters)[: len(leading)] == leading, one.verb
        for name, parameter in list(one.parameters.items())[len(leading) :]:
            free = parameter.default is not parameter.empty or parameter.kind is parameter.VAR_KEYWORD
            roles = {role.name for role in one.roles(method)}
            assert free or name in roles, f"{one.verb}: {name} needs a default"


@each
def test_parameters_round_trip(card):
    method, _, _ = fitted(card)
    clone = method.clone()
    assert not clone.is_fitted
    assert method.is_fitted
    assert same(clone, type(method)(**method.params()))
    assert same(
        clone.to_parts(), method.clone().set_params(**method.clone().get_params(deep=False)).to_parts()
    )
    assert clone.set_params(seed=7).seed == 7
    assert clone.get_params().keys() == method.get_params().keys()
    with pytest.raises(InvalidInputError):
        clone.set_params(seed=-1)
    assert clone.seed == 7


# --- containers ----------------------------------------------------------------------------------------------


@each
def test_settings_of_answers_keep_what_was_learnt(card):
    """A setting that no fit depends on is one of the training loop, or it is declared as one of answers alone."""
    method, kind = fitted(card)[0], card.load_entry()
    assert set(kind.free) <= FREE, "a setting that is free and not of the loop belongs to `answering`"
    assert not set(kind.answering) & set(kind.free)
    twin = method.clone().take_over(method.learnt())
    for name in kind.answering:
        twin.set_params(**{name: method.params()[name]})
        assert twin.is_fitted, name
    assert same(twin.learnt(), method.learnt())


def tabular(card: Any) -> dict[str, tuple[str, ...]]:
    """Roles of rows that a table can hold, with the names that their columns must have, if they must."""
    method, one, _ = fitted(card)
    train = one.task.train
    rows = (role for role in method.roles() if role.kind == "rows" and role.name in train)
    return {role.name: role.columns for role in rows if plain(train[role.name]).ndim == 2}


@each
def test_any_container_goes_in_and_comes_out(card):
    skip_if_exempt("containers", card)
    import pandas

    method, one, _ = fitted(card)
    tables = tabular(card)
    arrays, frames = (
        method.clone().fit_roles(
            {k: to(v, tables[k]) if k in tables else v for k, v in one.task.for_fit(method).items()}
        )
        for to in (as_array, as_frame)
    )
    assert same(arrays.state, method.state)
    # Transforms of columns keep their names.
    assert (same_numbers if method.params().get("transform") else same)(frames.state, method.state)
    for ability in able(method):
        given = inputs(ability, method, one.task, one.probe)
        sources = {k: ability.source(k) for k in given}
        theirs = {k: shuffled(v, tables[sources[k]]) if sources[k] in tables else v for k, v in given.items()}
        expected = plain(call(method, ability, given))
        answer = call(frames, ability, theirs)
        if isinstance(answer, Method):
            continue
        if ability.like in tables and not hasattr(answer, "in_kind"):
            assert isinstance(answer, pandas.DataFrame | pandas.Series), ability.verb
            labels = next((v.index for v in theirs.values() if isinstance(v, pandas.DataFrame)), None)
            assert labels is None or len(labels) != len(answer) or answer.index.equals(labels), ability.verb
        assert same_numbers(plain(answer), expected), ability.verb


def as_array(value: Any, columns: tuple[str, ...] = ()) -> Any:
    return plain(value).numpy()


def as_frame(value: Any, columns: tuple[str, ...] = ()) -> Any:
    """A table with names, column by column in memory, whose rows have labels of their own."""
    import pandas

    array = np.asfortranarray(plain(value).numpy())
    index = [f"row {i}" for i in range(len(array))]
    names = columns or [f"c{i}" for i in range(array.shape[1])]
    return pandas.DataFrame(array, columns=names, index=index)


def shuffled(value: Any, columns: tuple[str, ...] = ()) -> Any:
    """The same with its columns the other way round: names say which is which."""
    frame = as_frame(value, columns)
    return frame[list(frame.columns[::-1])]


# --- rows ----------------------------------------------------------------------------------------------------


@each
def test_a_row_does_not_feel_its_neighbours(card):
    skip_if_exempt("rows", card)
    method, one, _ = fitted(card)
    scope = card.scopes.rows
    tolerance = float(scope.split()[1]) if scope.startswith("tolerance") else 0.0
    for ability in able(method):
        for part, whole in parts_of(method, ability, inputs(ability, method, one.task, one.probe), scope):
            agree = close(part, whole, tolerance) if tolerance else same(part, whole)
            assert agree, f"{ability.verb}: {count(part)} rows apart from the others"


def parts_of(method: Any, ability: Any, given: dict[str, Any], scope: str) -> Iterator[tuple[Any, Any]]:
    """Answers to some rows alone, and the same rows of the answer to all."""
    told = [
        role.name for role in ability.roles(method) if ability.needs_told(method, role) and role.name in given
    ]
    if leading_arguments(ability.verb) == ("n",) and told:  # as many as there are conditions
        asked = {name: given[name] for name in told}
        rows = len(asked[told[0]])
        whole = plain(call(method, ability, asked, n=rows))
        yield from (
            (plain(call(method, ability, some(asked, slice(n)), n=n)), rows_of(whole, slice(n)))
            for n in (1, rows - 1)
        )
    elif leading_arguments(ability.verb) == ("n",):
        whole = plain(call(method, ability, {}, n=100))
        yield from ((plain(call(method, ability, {}, n=n)), rows_of(whole, slice(0, n))) for n in (1, 17, 70))
        if "first_index" in ability.parameters:
            later = plain(call(method, ability, {}, n=36, first_index=64))
            yield later, rows_of(whole, slice(64, 100))
    elif given:
        rows = next(len(value) for value in given.values() if hasattr(value, "__len__"))
        whole = plain(call(method, ability, given))
        if isinstance(whole, Method):
            return
        for n in sorted({1, 7, 17, rows - 1} & set(range(1, rows))):
            yield plain(call(method, ability, some(given, slice(n)))), rows_of(whole, slice(n))
        placed = "seed" not in ability.parameters or "first_index" in ability.parameters
        if scope == "bits" and placed:  # the last row first: it stands in another place and block
            index = {"first_index": rows - 1} if "first_index" in ability.parameters else {}
            last = slice(rows - 1, rows)
            yield plain(call(method, ability, some(given, last), **index)), rows_of(whole, last)


# --- resuming ------------------------------------------------------------------------------------------------


@each
def test_killed_in_any_stage_and_resumed_the_same_bits(card, tmp_path):
    """The undisturbed fit kept no checkpoints, the disturbed one goes on with another cadence where it has one."""
    skip_if_exempt("resume", card)
    method, _, stages = fitted(card)
    for number, (stage, steps) in enumerate(stages.items()):
        out, seen = tmp_path / str(number), []
        with pytest.raises(StoppedError):
            fit(card, method.clone(), out=out, watch=stop_at(stage, max(1, 2 * steps // 3)))
        other = other_cadence(method) if card.scopes.resume == "bits" else method.clone()
        fit(card, other, out=out, resume=True, watch=lambda name, k, n, seen=seen: seen.append(name))
        assert same(other.state, method.state), stage
        assert same(other.about["history"], method.about["history"]), stage
        assert not set(seen) & set(list(stages)[:number]), "finished stages are not run again"
    with pytest.raises(InvalidInputError, match="another seed"):
        fit(card, method.clone().set_params(seed=5), out=tmp_path / "0", resume=True)


def other_cadence(method: Method) -> Method:
    """With other distances of checkpoints."""
    if "checkpoint_every" not in method.params():
        return method.clone()
    return method.clone().set_params(checkpoint_every=method.checkpoint_every + 3)


# --- capabilities --------------------------------------------------------------------------------------------


@each
def test_what_it_cannot_do_it_says_with_a_reason(card):
    method, _, _ = fitted(card)
    for verb, why in method.capabilities().items():
        if why:
            assert len(why) > 10, f"{verb}: {why!r} is no reason"
            leading = dict.fromkeys(leading_arguments(verb), torch.zeros(2, 2))
            with pytest.raises(NotAbleError, match=re.escape(why)):
                getattr(method, verb)(**leading)
        else:
            with pytest.raises(InvalidInputError, match="must be fitted"):
                getattr(method.clone(), verb)()


@each
def test_answers_do_not_depend_on_global_settings(card):
    method, one, _ = fitted(card)
    before = answered(card)
    with torch.random.fork_rng([]), torch.no_grad(), default_type(torch.float64):
        torch.manual_seed(12345)
        state = torch.get_rng_state()
        assert same(answers(method, one.task, one.probe), before)
        assert torch.equal(torch.get_rng_state(), state), "an answer drew from the global generator"


@contextmanager
def default_type(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@each
@pytest.mark.slow
def test_answers_depend_on_the_number_of_threads_by_rounding_alone(card):
    """Sums are split among threads."""
    method, one, _ = fitted(card)
    before, threads = answered(card), torch.get_num_threads()
    torch.set_num_threads(3 - min(threads, 2))
    try:
        assert close(answers(method, one.task, one.probe), before, 1e-3)
    finally:
        torch.set_num_threads(threads)


def test_exemptions_are_few_and_shown(capsys):
    found = {
        f"{card.id}, {law}": reason
        for card in METHODS
        for law in ("rows", "resume", "containers")
        if (reason := exempt(law, card))
    }
    with capsys.disabled():
        print(f"\n{len(found)} exemptions of {3 * len(METHODS)}:")
        for what, reason in found.items():
            print(f"  {what}: {reason}")
    assert all(len(reason) > 8 for reason in found.values())
    assert len(found) <= 113  # may only shrink
