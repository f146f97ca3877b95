"""What every method keeps of its data: numbers in other units are told of, rows held out leave no trace.

Exemptions stand here, with the reason; a test prints them and holds their number.
"""

import contextlib
import dataclasses
import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch

from interpolants.foundations.errors import InterpolantsError
from interpolants.foundations.tell import FitWarning, OutsideWarning
from interpolants.framework import stored
from interpolants.framework.far_values import Measured
from interpolants.framework.few_rows import fewest_rows
from interpolants.framework.method import Method
from interpolants.framework.role import Role, kind_of
from interpolants.framework.roles import count, take
from interpolants.framework.settings import settings_of
from interpolants.testing.asking import able, call, inputs, plain
from laws import trials
from laws.instances import method_cards
from rings import ABSENT

pytestmark = pytest.mark.usefixtures("rooms")

METHODS = method_cards()
each = pytest.mark.parametrize("card", METHODS, ids=lambda card: card.id)

# Arguments of verbs whose numbers may be of any size, or of which the fit knows nothing.
ANY_SIZE = {
    ("classical_restoration", "restore", "observed"): "what an operator sees, in units of its own",
    ("mean_field", "predict", "x"): "parameters of a formula; no rows are fitted",
    ("td_agent", "act", "observation"): "the environment's; no rows are fitted",
    ("td_agent", "assess", "x"): "the environment's; no rows are fitted",
    ("gp_solver", "spectrum", "frequencies"): "of a spectral density, which ends nowhere",
    ("spectral_gp", "spectrum", "frequencies"): "of a spectral density, which ends nowhere",
    ("track_extrapolation", "forecast", "context"): "a rule that holds in any unit",
    ("fitted_equations", "identify", "x"): "fitted anew to each trajectory",
}


def changed(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """A value of a role with its numbers changed; labels and tokens as they are."""
    if isinstance(value, torch.Tensor):
        return change(value) if value.is_floating_point() else value
    if isinstance(value, list):
        return [changed(part, change) for part in value]
    if hasattr(value, "iloc"):  # with its dates and names
        table = value.select_dtypes("number").astype("float64")
        table = table.mask(table.notna(), change(torch.from_numpy(table.to_numpy(copy=True))).numpy())
        return value.assign(**dict(table.items()))
    for name in ("values", "x", "samples"):
        if dataclasses.is_dataclass(value) and isinstance(getattr(value, name, None), torch.Tensor):
            return dataclasses.replace(value, **{name: change(getattr(value, name))})
    array = plain(value)
    return change(array).numpy() if isinstance(array, torch.Tensor) and array.is_floating_point() else value


def measured(role: Role) -> bool:
    """Whether values of a role are numbers in units."""
    return isinstance(kind_of(role), Measured)


def starts_from_model(method: Method) -> bool:
    """Whether a method cannot be fitted without a model that was fitted before."""
    return any(role.kind == "model" and not role.optional for role in method.roles())


def numbered(role: Role) -> bool:
    """Whether values of a role are numbers, be they compared with those of the fit or not."""
    return measured(role) or role.kind == "tracks"


def told_far(ask: Callable[[], Any]) -> list[str]:
    """What is said about values that are far; a refusal counts."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            ask()
        except InterpolantsError as refusal:
            return [str(refusal)]
    return [str(one.message) for one in said if issubclass(one.category, OutsideWarning)]


@each
def test_numbers_a_thousand_times_too_large_are_told_once(card):
    method, one, _ = trials.fitted(card)
    for ability in able(method):
        given = inputs(ability, method, one.task, one.probe)
        assert not told_far(lambda a=ability, g=given: call(method, a, g)), f"{ability.verb}: a false alarm"
        for role in ability.roles(method):
            if role.name not in given or not numbered(role):
                continue
            far = {**given, role.name: changed(given[role.name], lambda x: 1000 * x)}
            said = told_far(lambda a=ability, g=far: call(method, a, g))
            exempt = (card.id, ability.verb, role.name) in ANY_SIZE
            assert len(said) == (0 if exempt else 1), f"{ability.verb}, {role.name}: {said}"


# Arguments whose NaN means something that is not a gap in data.
NAN_MEANS = {"interventions": "a factor that is left alone"}


def spoilt(number: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """One entry in the middle becomes ``number``."""

    def change(x: torch.Tensor) -> torch.Tensor:
        flat = x.double().flatten().clone()
        flat[len(flat) // 2] = number
        return flat.reshape(x.shape)

    return change


def takes(ask: Callable[[dict[str, Any]], Any], given: dict[str, Any], name: str, number: float) -> bool:
    """Whether something is asked without a refusal though one entry of an argument is ``number``."""
    try:
        ask({**given, name: changed(given[name], spoilt(number))})
    except InterpolantsError:
        return False
    return True


def must_refuse(role: Role, given: dict[str, Any], number: float) -> bool:
    """Whether a role has numbers, of which this one is none and no gap."""
    means = math.isnan(number) and (role.gaps or role.kind in NAN_MEANS)
    return role.name in given and numbered(role) and not means


@each
def test_what_is_no_number_is_refused_unless_it_is_a_gap(card):
    method, one, _ = trials.fitted(card)
    data = one.task.for_fit(method)
    for number in (math.inf, math.nan):
        for role in method.roles():
            if must_refuse(role, data, number):
                assert not takes(method.clone().fit_roles, data, role.name, number), f"fit, {role.name}"
        for ability in able(method):
            given = inputs(ability, method, one.task, one.probe)
            ask = functools.partial(call, method, ability)
            for role in ability.roles(method):
                if must_refuse(role, given, number):
                    assert not takes(ask, given, role.name, number), f"{ability.verb}, {role.name}"


# Why rows that were moved cannot be learnt from.
REFUSES_MOVED = {
    "geodesic_bridge": "latitudes that were moved are none; its own test moves a real column",
    "posterior": "its prior refuses rows that were moved",
}
# What held-out rows are for: entries of a state that keep or score them, and choices that are made by them.
BY_HELD_OUT_ROWS = {
    "bridge": (("held",), "keeps them, to be judged by"),
    "geodesic_bridge": ((), "refuses rows that were moved, which are off their space"),
    "few_step": (("held_out_mmd",), "is judged by them"),
    "kernel_interpolant": (
        ("scale", "frequencies", "phases", "ridge", "held_out_loss", "weights", "dynamics"),
        "chooses features, ridge and dynamics by them; its units know nothing of them",
    ),
    "multimodal": ((), "chooses its units by them"),
    "nowcaster": (("validation",), "scores weights of the guidance by them"),
    "posterior": ((), "stops its flow by them"),
    "quadratic_network": (("curves",), "follows their loss"),
    "scaled_network": (("curves", "errors"), "follows their loss"),
}


def moved(x: torch.Tensor) -> torch.Tensor:
    """Far away; flags stay flags."""
    return torch.where((x == 0) | (x == 1), x, 1000 * x + 7)


def are_numbers(answer: Any) -> bool:
    """Whether nothing in a plain answer is NaN or infinite; -inf is the log density of what cannot be."""
    arrays: dict[str, torch.Tensor] = {}
    stored.pack(answer, arrays)
    return not any(bool((x.isnan() | x.isposinf()).any()) for x in arrays.values() if x.is_floating_point())


def rows_taken(method: Any, data: dict[str, Any], index: torch.Tensor) -> dict[str, Any]:
    """The same rows of every role that has rows; an index past the end is the last row."""
    names = [r.name for r in method.roles() if r.name in data and kind_of(r).has_rows]
    return {
        name: take(value, index.clamp_max(count(value) - 1)) if name in names else value
        for name, value in data.items()
    }


@pytest.mark.slow
@each
def test_few_rows_and_equal_rows_are_refused_or_answered_with_numbers(card):
    """One row, three, and one row many times: never an error of torch's, never NaN."""
    method, one, _ = trials.fitted(card)
    data = one.task.for_fit(method)
    for index in (torch.arange(1), torch.arange(3), torch.zeros(40, dtype=torch.long)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what few rows cannot tell
            verb = without_numbers(method.clone(), one, rows_taken(method, data, index))
        assert not verb, f"{verb} after {len(index)} rows"


def without_numbers(method: Method, one: Any, data: dict[str, Any]) -> str:
    """The first verb whose answer has no numbers after a fit to these data; refusals are none."""
    try:
        method.fit_roles(data)
    except InterpolantsError:
        return ""
    for ability in able(method):
        try:
            answer = plain(call(method, ability, inputs(ability, method, one.task, one.probe)))
        except InterpolantsError:
            continue
        if not isinstance(answer, Method) and not are_numbers(answer):
            return ability.verb
    return ""


# Methods with steps that do not make a network learn rows by heart.
NOT_BY_HEART = {
    "chains": "a toy with a potential of few numbers",
    "exact_gp": "its steps choose a few numbers of a kernel",
    "few_shot_classifier": "it refuses groups of so few rows",
    "few_step": "rows that it sets aside choose its weights",
    "light_sb": "rows that it sets aside stop it",
    "moment_closure": "each of its runs holds thousands of places to learn from",
    "players": "a toy whose loop is its own",
    "scaled_network": "it follows the training on given points, whatever it learns",
    "td_critic": "values of states are what many transitions share",
}


class EnoughError(Exception):
    """A long training has begun."""


@each
def test_few_rows_that_are_learnt_by_heart_are_told_of(card):
    """Twenty rows and a thousand steps, of which the first shows whether it was told before."""
    if "steps" not in {field.name for field in settings_of(card.load_entry())}:
        pytest.skip("it has no steps")
    one = trials.fresh(card)
    few = rows_taken(one.method, one.task.for_fit(one.method), torch.arange(20))
    if starts_from_model(one.method) and not any(
        numbered(role) and not role.optional for role in one.method.roles()
    ):
        pytest.skip("it learns from draws of its model; rows are for its report")
    if fewest_rows(one.method.roles(), few) is None or own_id(card) in NOT_BY_HEART:
        pytest.skip(NOT_BY_HEART.get(own_id(card), "it learns from no rows"))

    def stop(stage: str, k: int, steps: int) -> None:
        if steps >= 500:
            raise EnoughError

    with pytest.warns(FitWarning), contextlib.suppress(EnoughError):
        one.method.set_params(steps=1000).fit_roles(few, watch=stop)


# Methods with constants in the units of their data, so that data in other units are another problem.
CONSTANTS_IN_UNITS = {
    "entropic_sb": "eps is a variance",
    "imported": "its networks were trained in one unit, and rows give only their shape",
    "interpolant_sb": "eps is a variance",
    "light_sb": "eps is a variance",
    "moment_closure": "the equations of the fluid fix its units",
    "variational_rnn": "values are shares",
}
FACTOR = 1024.0


def scaled(x: torch.Tensor) -> torch.Tensor:
    """In a unit that is so many times smaller; flags stay flags."""
    return torch.where((x == 0) | (x == 1), x, FACTOR * x)


@pytest.mark.slow
@each
def test_answers_are_in_the_units_of_the_data(card):
    """Data in another unit have the same answers in that unit, up to rounding that training amplifies, or are told."""
    if own_id(card) in CONSTANTS_IN_UNITS:
        pytest.skip(CONSTANTS_IN_UNITS[own_id(card)])
    if card.id in ("chains", "latent_fields"):
        pytest.skip("a toy with priors in units")
    method, one, _ = trials.fitted(card)
    if starts_from_model(method):
        pytest.skip("the model that it starts from was fitted to data in one unit")
    data = one.task.for_fit(method)
    names = [role.name for role in method.roles() if numbered(role) and role.name in data]
    likes = [ability for ability in able(method) if ability.like in names]
    if not likes:
        pytest.skip("no answer is in units of its data")
    try:
        twin = method.clone().fit_roles({**data, **{name: changed(data[name], scaled) for name in names}})
    except (InterpolantsError, UserWarning):
        return  # it is told that this unit does not do
    for ability in likes:
        given = inputs(ability, method, one.task, one.probe)
        roles = [role.name for role in ability.roles(method) if numbered(role) and role.name in given]
        theirs = call(twin, ability, {**given, **{name: changed(given[name], scaled) for name in roles}})
        expected, found = numbers_in(call(method, ability, given)), numbers_in(theirs) / FACTOR
        assert expected.shape == found.shape, ability.verb
        off = (found - expected).abs().nanmedian() / expected[~expected.isnan()].std().clamp_min(1e-30)
        assert off < 1e-2, f"{ability.verb}: off by {off:.2g} deviations"


def numbers_in(answer: Any) -> torch.Tensor:
    """All numbers of an answer that are of its units: places and widths, or what it is made of."""
    arrays: dict[str, torch.Tensor] = {}
    stored.pack(plain(answer), arrays)
    kept = [x.double().flatten() for name, x in sorted(arrays.items()) if x.is_floating_point()]
    return torch.cat(kept) if kept else torch.zeros(0, dtype=torch.float64)


def own_id(card: Any) -> str:
    """The id of its own card, of which there may be several instances."""
    return card.id.partition(" ")[0]


@each
def test_rows_that_are_held_out_leave_no_trace(card):
    """Units, vocabularies, lengthscales and thresholds are those of the rows that are learnt from."""
    method, one, _ = trials.fitted(card)
    data, test = one.task.for_fit(method), one.task.for_fit(method, "test")
    told = [r.name for r in method.roles() if numbered(r) and kind_of(r).has_rows and r.name in test]
    far = {name: changed(test[name], moved) for name in told}
    further = {name: changed(value, moved) for name, value in far.items()}
    kept, why = BY_HELD_OUT_ROWS.get(own_id(card), ((), ""))
    if not told or (why and not kept):
        pytest.skip(why or "its data have no rows")
    left = []
    for held in ({**test, **far}, {**test, **further}):
        # Weights are not chosen by held-out rows where a validation of one's own is given.
        state = method.clone().fit_roles(data, held=held, validate=lambda modules, step: {}).state
        left.append(stored.fingerprint({k: v for k, v in state.items() if k not in kept}))
    assert left[0] == left[1]


@each
def test_rows_that_it_sets_aside_itself_leave_no_trace(card):
    """One row after the other is moved: of those that are set aside, nothing that was learnt must know."""
    if "held_out" not in {field.name for field in settings_of(card.load_entry())}:
        pytest.skip("it sets no rows aside")
    if own_id(card) in REFUSES_MOVED:
        pytest.skip(REFUSES_MOVED[own_id(card)])
    method, one, _ = trials.fitted(card)
    data = one.task.for_fit(method)
    kept, _ = BY_HELD_OUT_ROWS.get(own_id(card), ((), ""))
    role = [r.name for r in method.roles() if numbered(r) and r.name in data][-1]

    def learnt(row: int | None) -> str:
        rows = plain(data[role]).clone()
        if row is not None:
            rows[row] = moved(rows[row])
        twin = method.clone().set_params(held_out=0.5)
        state = twin.fit_roles({**data, role: rows}, validate=lambda modules, step: {}).state
        return stored.fingerprint({k: v for k, v in state.items() if k not in kept})

    before = learnt(None)
    aside = [learnt(row) == before for row in range(4)]
    assert any(aside), "none of four rows is set aside, or each of them was looked at"
    assert not all(aside), "no row was learnt from"


def test_exemptions_are_few_and_shown(capsys):
    with capsys.disabled():
        print(f"\n{len(ANY_SIZE)} arguments may be of any size:")
        for (method, verb, name), why in ANY_SIZE.items():
            print(f"  {method}.{verb}({name}): {why}")
        print(f"{len(BY_HELD_OUT_ROWS)} methods look at held-out rows:")
        for method, (entries, why) in BY_HELD_OUT_ROWS.items():
            print(f"  {method}: {why} ({', '.join(entries) or 'exempt'})")
        print(f"{len(CONSTANTS_IN_UNITS)} methods have constants in units:")
        for method, why in CONSTANTS_IN_UNITS.items():
            print(f"  {method}: {why}")
        print(f"{len(NOT_BY_HEART)} methods with steps learn no rows by heart:")
        for method, why in NOT_BY_HEART.items():
            print(f"  {method}: {why}")
    assert ABSENT or {method for method, *_ in ANY_SIZE} <= {card.id for card in METHODS}
    assert len(ANY_SIZE) <= 8
    assert len(CONSTANTS_IN_UNITS) <= 6
    assert len(BY_HELD_OUT_ROWS) <= 9
    assert len(NOT_BY_HEART) <= 9
