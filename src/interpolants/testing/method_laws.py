"""Laws that every method keeps, each as far as the method's card declares.

A law is a function of a `Trial`. It raises ``AssertionError`` where it is broken, and ``unittest.SkipTest``, which
pytest shows as a skip, where it does not apply. Its docstring says it in a sentence.
"""

import importlib.util
import pickle
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import SkipTest

import numpy as np
import torch

from interpolants.foundations.checks import one_of
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.registry import stored_kinds
from interpolants.framework import stored
from interpolants.framework.capabilities import Capability, NotAbleError, leading_arguments
from interpolants.framework.method import Method, load
from interpolants.framework.role import kind_of
from interpolants.testing.asking import (
    able,
    call,
    close,
    count,
    has_other_columns,
    inputs,
    plain,
    rows_of,
    same,
    same_numbers,
    some,
)
from interpolants.testing.stored_members import kinds_in
from interpolants.testing.trial import Trial, overwrite, own_memory
from interpolants.training.settings import FREE

Law = Callable[[Trial], None]


def hold(kept: bool, otherwise: str) -> None:
    """Say what is broken unless something is kept; a bare ``assert`` says nothing outside of pytest."""
    if not kept:
        raise AssertionError(otherwise)


@contextmanager
def refused(what: str, words: str = "", kind: type[Exception] = InvalidInputError) -> Iterator[None]:
    """Hold that what stands within is refused, in words that match a regular expression."""
    try:
        yield
    except kind as error:
        hold(re.search(words, str(error)) is not None, f"{what} is refused without {words!r}: {error}")
        return
    raise AssertionError(f"{what} is not refused")


class StoppedError(Exception):
    """Raised by a watch that stops a fit."""


def _stop_at(stage: str, step: int) -> Callable[[str, int, int], None]:
    def watch(name: str, k: int, steps: int) -> None:
        if (name, k) == (stage, step):
            raise StoppedError

    return watch


# --- fits ----------------------------------------------------------------------------------------------------


def fitted_twice_the_same_bits(trial: Trial) -> None:
    """Two fits to the same data learn the same bits, and a question that is asked again has the same answer."""
    method = trial.fitted[0]
    hold(trial.fitted_apart.learnt == stored.fingerprint(method.learnt()), "the second fit learnt other bits")
    _same_by_verb(trial.answered, trial.ask(method), "asked again")


def what_was_learnt_outlives_the_data(trial: Trial) -> None:
    """What was learnt stays as it is when the caller's arrays are overwritten after the fit."""
    apart = trial.fitted_apart
    hold(apart.learnt == apart.kept, "what was learnt changed with the data")
    _same_by_verb(trial.answered, trial.answered_apart, "after the data were overwritten")
    method = trial.fresh().method
    data = own_memory(trial.fitted[1].task.for_fit(method))
    exact = [role.name for role in method.roles() if role.exact and _is_single(data.get(role.name))]
    if exact:  # read without a copy in their precision alone
        wide = {name: data[name].double() for name in exact}
        method.fit_roles({**data, **wide})
        learnt = stored.fingerprint(method.learnt())
        overwrite(wide)
        hold(stored.fingerprint(method.learnt()) == learnt, "what was learnt changed with data in float64")


def _is_single(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype == torch.float32


def _same_by_verb(expected: Mapping[str, Any], found: Mapping[str, Any], when: str) -> None:
    other = [verb for verb in expected if not same(found.get(verb), expected[verb])]
    hold(not other, f"{when}: other answers to {', '.join(other)}")


def saved_and_loaded_the_same_answers_from_plain_files(trial: Trial) -> None:
    """A method that was saved and loaded is the same, from files of JSON and safetensors alone."""
    method = trial.fitted[0]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "model")
        back = load(method.save(folder))
        hold(type(back) is type(method), f"a {type(back).__name__} was loaded")
        hold(same(back, method), "what was loaded is not what was saved")
        _same_by_verb(trial.answered, trial.ask(back), "loaded")
        files = [file for file in folder.rglob("*") if file.is_file() and file.name != "README.md"]
        other = [file.name for file in files if file.suffix not in (".json", ".safetensors")]
        hold(not other, f"the folder holds {', '.join(other)}")
        hold(same(load(back.save(Path(place, "again"))), method), "saved and loaded again it is another")


def its_files_name_members_of_declared_kinds_alone(trial: Trial) -> None:
    """Its files name members of kinds that cards declare as stored: while a folder is read no other kind is built."""
    other = kinds_in(stored.pack(trial.fitted[0], {})) - stored_kinds()
    hold(not other, f"no card says stored = true for the kind {', '.join(sorted(other))}")


def pickled_for_another_process_the_same_answers(trial: Trial) -> None:
    """A method that was pickled, as it is for another process, is the same."""
    method = trial.fitted[0]
    back = pickle.loads(pickle.dumps(method))
    hold(same(back, method), "what was read is not what was pickled")
    _same_by_verb(trial.answered, trial.ask(back), "pickled")
    unfitted = method.clone()
    hold(same(pickle.loads(pickle.dumps(unfitted)), unfitted), "unfitted, it is another")


def a_refused_or_stopped_fit_changes_nothing(trial: Trial) -> None:
    """A fit that is refused, or stopped in any of its stages, leaves what was learnt before."""
    method, _, stages = trial.fitted
    one = method.clone().take_over(method.learnt())
    before = stored.fingerprint(one)
    with refused("a fit without data"):
        one.fit_roles({})
    for stage, steps in stages.items():
        with refused(f"the exception of a watch in stage {stage}", kind=StoppedError):
            trial.fit(one, watch=_stop_at(stage, max(1, steps // 2)))
    hold(stored.fingerprint(one) == before, "the method is another after fits that did not end")


def a_misspelt_name_is_answered_with_the_nearest(trial: Trial) -> None:
    """A misspelt setting, role, option or argument is refused, with the nearest name."""
    method, one, _ = trial.fitted
    kind: Any = type(method)
    with refused("a misspelt setting", "Did you mean 'seed'"):
        kind(seeed=1)
    with refused("a misspelt setting of set_params", "Did you mean 'seed'"):
        method.clone().set_params(seeed=1)
    role, data = method.roles()[0].name, one.task.for_fit(method)
    with refused("a misspelt role", f"Did you mean '{role}'"):
        method.clone().fit(**data, **{f"{role}_": 1})
    with refused("a misspelt option of fit", "Did you mean 'progress'"):
        method.clone().fit(**data, progres=True)
    for ability in able(method):
        given, name = inputs(ability, method, one.task, one.probe), next(iter(ability.parameters), "")
        # A verb that passes options on knows their names, and not its own among them.
        open_ended = any(p.kind is p.VAR_KEYWORD for p in ability.parameters.values())
        words = f"Did you mean '{name}'" if name and not open_ended else "must"
        with refused(f"a misspelt argument of {ability.verb}", words):
            call(method, ability, given, **{f"{name or 'x'}_": 1})


def a_fit_leaves_the_data_alone(trial: Trial) -> None:
    """Neither a fit nor a question changes what it was given, nor a question what was learnt."""
    hold(trial.fitted_apart.before == trial.fitted_apart.after, "the fit changes its data")
    for asked in trial.asked_apart:
        hold(asked.given_is_left, f"{asked.verb} changes what was given")
        hold(asked.learnt_is_left, f"{asked.verb} changes what was learnt")


def an_answer_is_the_callers_own(trial: Trial) -> None:
    """An answer that is overwritten in place changes neither what was asked with nor what was learnt."""
    for asked in trial.asked_apart:
        hold(asked.given_outlives, f"{asked.verb} answers with a view of what was given")
        hold(asked.learnt_outlives, f"{asked.verb} answers with a view of what was learnt")


# --- names and settings --------------------------------------------------------------------------------------


def its_verbs_take_what_they_take_everywhere(trial: Trial) -> None:
    """A verb takes the leading arguments that it has in all methods; its other arguments have a default."""
    method = trial.fitted[0]
    for one in able(method):
        leading = leading_arguments(one.verb)
        hold(tuple(one.parameters)[: len(leading)] == leading, f"{one.verb} must take {leading} first")
        roles = {role.name for role in one.roles(method)}
        for name, parameter in list(one.parameters.items())[len(leading) :]:
            free = parameter.default is not parameter.empty or parameter.kind is parameter.VAR_KEYWORD
            hold(free or name in roles, f"{one.verb}: {name} needs a default")


def parameters_round_trip(trial: Trial) -> None:
    """A clone has the same settings, has learnt nothing and is another; a setting that is refused changes nothing."""
    method = trial.fitted[0]
    clone = method.clone()
    hold(len({method, clone, method.clone()}) == 3, "methods of the same settings are taken for one")
    hold(not clone.is_fitted, "a clone is fitted")
    hold(method.is_fitted, "a method that was cloned is not fitted any more")
    hold(same(clone, type(method)(**method.params())), "a clone is not what its settings make")
    again = method.clone().set_params(**method.clone().get_params(deep=False))
    hold(same(clone.to_parts(), again.to_parts()), "set_params of its own get_params makes another one")
    hold(clone.set_params(seed=7).seed == 7, "set_params does not set the seed")
    hold(clone.get_params().keys() == method.get_params().keys(), "a clone has other settings")
    with refused("seed = -1"):
        clone.set_params(seed=-1)
    hold(clone.seed == 7, "a setting that was refused is there")


def settings_of_answers_keep_what_was_learnt(trial: Trial) -> None:
    """A setting that no fit depends on is one of the training loop, or it is declared as one of answers alone."""
    method = trial.fitted[0]
    kind = type(method)
    other = set(kind.free) - FREE
    hold(not other, f"{other} is free and not of the loop: it belongs to `answering`")
    hold(not set(kind.answering) & set(kind.free), "a setting is in `free` and in `answering`")
    twin = method.clone().take_over(method.learnt())
    for name in kind.answering:
        twin.set_params(**{name: method.params()[name]})
        hold(twin.is_fitted, f"{name} discards what was learnt")
    hold(same(twin.learnt(), method.learnt()), "settings of answers change what was learnt")


# --- containers ----------------------------------------------------------------------------------------------


def any_container_goes_in_and_comes_out(trial: Trial) -> None:
    """Arrays and tables are learnt from as tensors are; columns go by their names, and answers are tables again."""
    skip_if_exempt(any_container_goes_in_and_comes_out, trial)
    if importlib.util.find_spec("pandas") is None:
        raise SkipTest("pandas is not installed")
    import pandas

    method, one, _ = trial.fitted
    tables = _tabular(trial)
    arrays, frames = (
        method.clone().fit_roles(
            {k: to(v, tables[k]) if k in tables else v for k, v in one.task.for_fit(method).items()}
        )
        for to in (_as_array, _as_frame)
    )
    hold(same(arrays.state, method.state), "arrays of NumPy are learnt otherwise than tensors")
    # Transforms of columns keep their names.
    alike = same_numbers if method.params().get("transform") else same
    hold(alike(frames.state, method.state), "tables are learnt otherwise than tensors")
    for ability in able(method):
        given = inputs(ability, method, one.task, one.probe)
        sources = {k: ability.source(k) for k in given}
        theirs = {
            k: _shuffled(v, tables[sources[k]]) if sources[k] in tables else v for k, v in given.items()
        }
        expected = plain(call(method, ability, given))
        answer = call(frames, ability, theirs)
        if isinstance(answer, Method):
            continue
        if ability.like in tables and not hasattr(answer, "in_kind"):
            framed = isinstance(answer, pandas.DataFrame | pandas.Series)
            hold(framed, f"{ability.verb} answers a table with a {type(answer).__name__}")
            labels = next((v.index for v in theirs.values() if isinstance(v, pandas.DataFrame)), None)
            kept = labels is None or len(labels) != len(answer) or answer.index.equals(labels)
            hold(kept, f"{ability.verb} loses the labels of rows")
        same_answer = same_numbers(plain(answer), expected)
        hold(same_answer, f"{ability.verb} answers a table with other columns first otherwise")


def _tabular(trial: Trial) -> dict[str, tuple[str, ...]]:
    """Roles of rows that a table can hold, with the names that their columns must have, if they must."""
    method, one, _ = trial.fitted
    train = one.task.train
    rows = (role for role in method.roles() if role.kind == "rows" and role.name in train)
    return {role.name: role.columns for role in rows if plain(train[role.name]).ndim == 2}


def _as_array(value: Any, columns: tuple[str, ...] = ()) -> Any:
    return value if has_other_columns(value) else plain(value).numpy()


def _as_frame(value: Any, columns: tuple[str, ...] = ()) -> Any:
    """A table with names, column by column in memory, whose rows have labels of their own."""
    import pandas

    if has_other_columns(value):
        return value.set_axis([f"row {i}" for i in range(len(value))])
    array = np.asfortranarray(plain(value).numpy())
    index = [f"row {i}" for i in range(len(array))]
    names = columns or [f"c{i}" for i in range(array.shape[1])]
    return pandas.DataFrame(array, columns=names, index=index)


def _shuffled(value: Any, columns: tuple[str, ...] = ()) -> Any:
    """The same with its columns the other way round: names say which is which."""
    frame = _as_frame(value, columns)
    return frame[list(frame.columns[::-1])]


# --- rows ----------------------------------------------------------------------------------------------------


def a_row_does_not_feel_its_neighbours(trial: Trial) -> None:
    """The answer for a row is the same whichever rows come with it, as far as the card's scope ``rows`` says."""
    skip_if_exempt(a_row_does_not_feel_its_neighbours, trial)
    method, one, _ = trial.fitted
    scope = trial.scopes.rows
    tolerance = float(scope.split()[1]) if scope.startswith("tolerance") else 0.0
    for ability in able(method):
        leading = next(iter(leading_arguments(ability.verb)), "")
        if any(role.name == leading and not kind_of(role).has_rows for role in ability.roles(method)):
            continue  # one answer to all, such as that of a filter over time
        for part, whole in _parts_of(method, ability, inputs(ability, method, one.task, one.probe), scope):
            agree = close(part, whole, tolerance) if tolerance else same(part, whole)
            hold(agree, f"{ability.verb}: {count(part)} rows apart from the others have other answers")


def _parts_of(
    method: Method, ability: Capability, given: dict[str, Any], scope: str
) -> Iterator[tuple[Any, Any]]:
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


def stopped_in_any_stage_and_resumed_the_same_bits(trial: Trial) -> None:
    """A fit that is stopped in any of its stages and resumed learns what an undisturbed one does.

    The undisturbed fit kept no checkpoints, the disturbed one goes on with another cadence where it has one.
    """
    skip_if_exempt(stopped_in_any_stage_and_resumed_the_same_bits, trial)
    method, _, stages = trial.fitted
    with tempfile.TemporaryDirectory() as place:
        for number, (stage, steps) in enumerate(stages.items()):
            out, seen = Path(place, str(number)), list[str]()
            with refused(f"the exception of a watch in stage {stage}", kind=StoppedError):
                trial.fit(method.clone(), out=out, watch=_stop_at(stage, max(1, 2 * steps // 3)))
            other = _other_cadence(method) if trial.scopes.resume == "bits" else method.clone()
            trial.fit(other, out=out, resume=True, watch=lambda name, k, n, seen=seen: seen.append(name))
            hold(
                same(other.state, method.state), f"stopped in stage {stage} and resumed it learns other bits"
            )
            history = same(other.about["history"], method.about["history"])
            hold(history, f"stopped in stage {stage} and resumed it tells another history")
            again = set(seen) & set(list(stages)[:number])
            hold(not again, f"stopped in stage {stage} and resumed it runs {again} again")
        with refused("to resume with another seed", "another seed"):
            trial.fit(method.clone().set_params(seed=5), out=Path(place, "0"), resume=True)


def _other_cadence(method: Method) -> Method:
    """With other distances of checkpoints."""
    if "checkpoint_every" not in method.params():
        return method.clone()
    return method.clone().set_params(checkpoint_every=method.params()["checkpoint_every"] + 3)


# --- questions -----------------------------------------------------------------------------------------------


def what_it_cannot_do_it_says_with_a_reason(trial: Trial) -> None:
    """A verb that a method does not have is refused with the reason, and every verb before a fit."""
    method = trial.fitted[0]
    for verb, why in method.capabilities().items():
        if why:
            hold(len(why) > 10, f"{verb}: {why!r} is no reason")
            leading = dict.fromkeys(leading_arguments(verb), torch.zeros(2, 2))
            with refused(f"{verb}, which it cannot do,", re.escape(why), kind=NotAbleError):
                getattr(method, verb)(**leading)
        else:
            with refused(f"{verb} before a fit", "must be fitted"):
                getattr(method.clone(), verb)()


def answers_do_not_depend_on_global_settings(trial: Trial) -> None:
    """Answers depend neither on torch's default type nor on its global generator, and draw nothing from that."""
    method, before = trial.fitted[0], trial.answered
    with torch.random.fork_rng([]), torch.no_grad(), _default_type(torch.float64):
        torch.manual_seed(12345)
        state = torch.get_rng_state()
        _same_by_verb(before, trial.ask(method), "with another seed and default type")
        hold(torch.equal(torch.get_rng_state(), state), "an answer drew from the global generator")


@contextmanager
def _default_type(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def answers_depend_on_the_number_of_threads_by_rounding_alone(trial: Trial) -> None:
    """Answers depend on the number of threads, among which sums are split, by rounding alone."""
    method, before, threads = trial.fitted[0], trial.answered, torch.get_num_threads()
    torch.set_num_threads(3 - min(threads, 2))
    try:
        found = trial.ask(method)
    finally:
        torch.set_num_threads(threads)
    hold(close(found, before, 1e-3), "answers with another number of threads differ by more than 0.1 %")


# --- all of them ---------------------------------------------------------------------------------------------

METHOD_CHECKS: tuple[Law, ...] = (
    fitted_twice_the_same_bits,
    what_was_learnt_outlives_the_data,
    saved_and_loaded_the_same_answers_from_plain_files,
    its_files_name_members_of_declared_kinds_alone,
    pickled_for_another_process_the_same_answers,
    a_refused_or_stopped_fit_changes_nothing,
    a_misspelt_name_is_answered_with_the_nearest,
    a_fit_leaves_the_data_alone,
    an_answer_is_the_callers_own,
    its_verbs_take_what_they_take_everywhere,
    parameters_round_trip,
    settings_of_answers_keep_what_was_learnt,
    any_container_goes_in_and_comes_out,
    a_row_does_not_feel_its_neighbours,
    stopped_in_any_stage_and_resumed_the_same_bits,
    what_it_cannot_do_it_says_with_a_reason,
    answers_do_not_depend_on_global_settings,
    answers_depend_on_the_number_of_threads_by_rounding_alone,
)


def exemption(law: Law, trial: Trial) -> str:
    """Why a law does not apply to a method, as far as can be known before it is tried; empty where it does."""
    if law is a_row_does_not_feel_its_neighbours and trial.scopes.rows.startswith(("set", "none")):
        return f"rows = {trial.scopes.rows}"
    if law is stopped_in_any_stage_and_resumed_the_same_bits:
        if trial.scopes.resume.startswith("none"):
            return f"resume = {trial.scopes.resume}"
        return "" if trial.fitted[2] else "the fit has no stages"
    if law is any_container_goes_in_and_comes_out and not _tabular(trial):
        return "no role is a table"
    return ""


def skip_if_exempt(law: Law, trial: Trial) -> None:
    """Raise ``SkipTest`` with the reason."""
    if reason := exemption(law, trial):
        raise SkipTest(reason)


def check_method(
    kind: type[Method],
    recipe: str | Path | Mapping[str, Any] | None = None,
    *,
    exempt: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Try a method against all laws of methods.

    Args:
        kind: Its class; its card must be installed.
        recipe: Name, file or tables of a recipe whose task of this method is fitted, with ``[quick]`` laid over it if
            that is there; what a verb asks for and no test row has stands in ``[probe]``. None: the card's.
        exempt: Laws, by name, that are not tried, each with the reason.

    Returns:
        The laws that did not apply, by name, with the reason: those in ``exempt``, and those that the scopes of the
        card, the stages of the fit or the kinds of its roles leave out.

    Raises:
        AssertionError: If laws are broken; it lists each with its sentence and what was found.
        InvalidInputError: If the class has no card, there is no such recipe, or no law of a name in ``exempt``.
    """
    laws = {law.__name__: law for law in METHOD_CHECKS}
    skipped = dict(exempt or {})
    for name in skipped:
        one_of("check_method", "exempt", name, [*laws])
    trial = Trial.of(kind, recipe)
    _ = trial.fitted  # a method that cannot be fitted ends in its own error, and not in one for each law
    broken: list[str] = []
    errors: list[Exception] = []
    for name, law in laws.items():
        if name in skipped:
            continue
        try:
            law(trial)
        except SkipTest as reason:
            skipped[name] = str(reason)
        except Exception as error:  # noqa: BLE001  # whatever a method raises where it must answer
            what = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
            broken.append(f"  {name}: {sentence(law)}\n    {what}")
            errors.append(error)
    if broken:
        head = f"{kind.__name__} breaks {len(broken)} of {len(laws) - len(skipped)} laws:"
        raise AssertionError("\n".join([head, *broken])) from ExceptionGroup("broken laws", errors)
    return skipped


def sentence(law: Law) -> str:
    """What a law says."""
    return str(law.__doc__).partition("\n")[0]
