"""What a user may hand in at the public doors ends in the right answer or in a message: properties over random input.

Units, names, types, shapes, seeds, conditions, times, index and data of a resumed fit. The fits take a few steps: what
is tested here holds for any weights.
"""

import functools
import tempfile
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interpolants import Bridge
from interpolants.dynamics import sample
from interpolants.fields import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.randomness import BlockNoise
from interpolants.likelihood import log_prob
from interpolants.methods import (
    Climatology,
    FlowMap,
    Forecaster,
    GaussianFit,
    Rectification,
)
from interpolants.nets import MLP
from interpolants.paths import Linear, OneSidedLinear

TINY = {"net": {"kind": "mlp", "width": 8, "depth": 1}, "steps": 3, "batch_size": 16}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 3)) * (1.0, 3.0, 0.2) + (0.0, 5.0, -1.0)
WORDS = np.array(["hill", "shore", "wood"])[np.arange(48) % 3]
NAMES = ["u", "v", "w"]
QUICK = {"n_steps": 2}
FEW = settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def table(x=X, names=NAMES, index=None):
    return pandas.DataFrame(x, columns=names, index=index)


def one_sided(x=None, cond=None, **more):
    given = {} if cond is None else {"cond": cond}
    x = table() if x is None else x
    return Bridge("one_sided_linear", held_out=0, **{**TINY, **more}).fit(x1=x, **given, progress=False)


def two_sided(x0=None, x1=None, cond=None, **more):
    given = {} if cond is None else {"cond": cond}
    x0, x1 = table(X[::-1].copy()) if x0 is None else x0, table() if x1 is None else x1
    return Bridge("linear", held_out=0, **{**TINY, **more}).fit(x0, x1, **given, progress=False)


@functools.cache
def fitted(name):
    """One fit of each kind, for all examples."""
    make = {
        "one": one_sided,
        "two": two_sided,
        "labelled": lambda: one_sided(cond=WORDS),
        "two_labelled": lambda: two_sided(cond=WORDS),
        "vectors": lambda: one_sided(cond=pandas.DataFrame(X[:, :2] / 2, columns=["p", "q"])),
    }
    return make[name]()


def lp(bridge, x, **more):
    return np.asarray(bridge.log_prob(x, method="euler", **QUICK, **more), dtype=float)


# --- units ---------------------------------------------------------------------------------------------------


SCALES = st.tuples(*[st.integers(-20, 20).map(lambda k: 2.0**k)] * 3).map(np.array)
SHIFTS = st.tuples(*[st.integers(-8, 8)] * 3).map(np.array)


def affine_bridge(x):
    return one_sided(x)


def affine_gaussian(x):
    return GaussianFit().fit(x)


@pytest.mark.slow
@pytest.mark.parametrize("make", [affine_bridge, affine_gaussian])
@settings(FEW, max_examples=4)
@given(scale=SCALES, shift=SHIFTS)
def test_samples_follow_an_affine_change_of_columns_and_densities_its_jacobian(make, scale, shift):
    def changed(x):
        return (x + shift) * scale  # whole shifts of the size of the data: what rounding takes is known

    plain, other = make(X), make(changed(X))
    options = QUICK if make is affine_bridge else {}
    made = other.sample(9, seed=1, **options) / scale - shift
    np.testing.assert_allclose(made, plain.sample(9, seed=1, **options), rtol=2e-3, atol=2e-3)
    more = {"method": "euler", **QUICK} if make is affine_bridge else {}
    jacobian = np.log(scale).sum()
    found = np.asarray(other.log_prob(changed(X[:9]), **more)) + jacobian
    np.testing.assert_allclose(found, np.asarray(plain.log_prob(X[:9], **more)), rtol=2e-3, atol=5e-3)


# --- names and index -----------------------------------------------------------------------------------------


@FEW
@given(order=st.permutations(NAMES), rows=st.permutations(range(12)))
def test_columns_are_known_by_name_and_rows_by_index_in_any_order(order, rows):
    index = [f"row {i}" for i in rows]
    asked = table(X[rows], index=index)
    for verb in (
        lambda x: fitted("one").log_prob(x, method="euler", **QUICK),
        lambda x: fitted("two").transport(x, **QUICK),
    ):
        plain, turned = verb(asked), verb(asked[order])
        pandas.testing.assert_index_equal(turned.index, asked.index)
        np.testing.assert_array_equal(np.asarray(turned), np.asarray(plain))
    assert list(fitted("one").sample(2, seed=0, **QUICK).columns) == NAMES


@FEW
@given(order=st.permutations(NAMES))
def test_a_fit_to_permuted_columns_of_one_end_is_the_same_fit(order):
    other = two_sided(table(X[::-1].copy())[order], table())
    np.testing.assert_array_equal(
        other.transport(table(), **QUICK), fitted("two").transport(table(), **QUICK)
    )


@FEW
@given(name=st.text(min_size=1, max_size=4).filter(lambda s: s not in NAMES), place=st.integers(0, 2))
def test_a_column_of_another_name_is_refused_with_the_names_of_the_fit(name, place):
    names = [*NAMES[:place], name, *NAMES[place + 1 :]]
    with pytest.raises(InvalidInputError, match="x must have the columns u, v, w"):
        fitted("two").transport(table(names=names), **QUICK)


def test_columns_of_one_name_are_refused():
    for door in (
        lambda: one_sided(table(names=["u", "u", "w"])),
        lambda: two_sided(table(names=["u", "u", "w"])),
    ):
        with pytest.raises(InvalidInputError, match=r"x\d must have|columns"):
            door()


# --- types and shapes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4", "longdouble"])
def test_floats_of_any_size_give_the_same_answer_to_their_precision(dtype):
    """Values that every type holds exactly."""
    asked = np.round(X[:8] * 4) / 4
    wanted = np.asarray(fitted("two").transport(asked, **QUICK)), lp(fitted("one"), asked)
    near = 4e-3 if dtype == "float16" else 1e-5
    found = fitted("two").transport(asked.astype(dtype), **QUICK), lp(fitted("one"), asked.astype(dtype))
    for one, two in zip(found, wanted, strict=True):
        np.testing.assert_allclose(np.asarray(one, dtype=float), two, rtol=near, atol=near)


REFUSED = ["uint8", "complex64", "U4", "object", "M8[s]", "V8"]


@pytest.mark.filterwarnings("ignore::interpolants.foundations.tell.OutsideWarning")
@pytest.mark.parametrize("dtype", ["int8", "int64", "bool"])
def test_whole_numbers_are_those_numbers_in_double_precision(dtype):
    x = np.abs(np.round(X)).astype(dtype)
    assert np.array_equal(
        fitted("two").transport(x, **QUICK), fitted("two").transport(x.astype(float), **QUICK)
    )


@pytest.mark.parametrize("dtype", REFUSED)
def test_what_is_no_float_is_refused_at_every_door(dtype):
    x = np.zeros((48, 3), dtype=dtype) if dtype in ("M8[s]", "V8") else np.abs(np.round(X)).astype(dtype)
    doors = [
        lambda: fitted("two").transport(x, **QUICK),
        lambda: fitted("one").log_prob(x),
        lambda: one_sided(x),
    ]
    for door in doors:
        with pytest.raises(InvalidInputError, match=r"x1? must be (floating point|numeric|real)"):
            door()


@FEW
@given(shape=st.lists(st.integers(0, 4), max_size=4).map(tuple))
def test_an_answer_has_a_row_for_each_row_or_the_shape_is_refused(shape):
    x = np.zeros(shape)
    if shape[1:] == (3,) and shape[0] > 0:
        assert np.asarray(fitted("two").transport(x, **QUICK)).shape == shape
        assert lp(fitted("one"), x).shape == shape[:1]
    else:
        for door in (lambda: fitted("two").transport(x, **QUICK), lambda: lp(fitted("one"), x)):
            with pytest.raises(InvalidInputError, match=r"must (have|not be empty|hold)"):
                door()


# --- seeds and places ----------------------------------------------------------------------------------------

SEEDLESS = [
    True,
    False,
    np.True_,
    1.5,
    2.0,
    np.float64(3),
    -1,
    2**64,
    2**70,
    "7",
    b"1",
    [1],
    {},
    torch.tensor(3),
]
METHODS = [
    Bridge,
    FlowMap,
    Forecaster,
    Rectification,
]


@pytest.mark.parametrize("seed", SEEDLESS, ids=repr)
def test_a_seed_that_is_no_whole_number_is_refused_by_its_name(seed):
    one, two = fitted("one"), fitted("two")
    rule = "seed must be (a whole number|below 2)"
    for door in (
        lambda: one.sample(3, seed=seed, **QUICK),
        lambda: one.sample(3, seed=seed, eps=0.1, **QUICK),
        lambda: two.transport(X, seed=seed, eps=0.1, **QUICK),
        lambda: one.log_prob(X, seed=seed, divergence="hutchinson", method="euler", **QUICK),
        *(functools.partial(kind, seed=seed) for kind in METHODS),
    ):
        with pytest.raises(
            InvalidInputError, match=rf"(Bridge\.\w+|{'|'.join(m.__name__ for m in METHODS)}): {rule}"
        ):
            door()


@FEW
@given(seed=st.integers(0, 2**64 - 1))
def test_a_seed_of_any_size_gives_its_own_bits_again(seed):
    one = fitted("one")
    np.testing.assert_array_equal(one.sample(3, seed=seed, **QUICK), one.sample(3, seed=seed, **QUICK))
    other = one.sample(3, seed=seed ^ 1, **QUICK)
    assert not np.array_equal(one.sample(3, seed=seed, **QUICK), other)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.int64, np.uint64])
def test_whole_numbers_of_numpy_are_the_same_seeds(kind):
    one = fitted("one")
    np.testing.assert_array_equal(one.sample(3, seed=kind(7), **QUICK), one.sample(3, seed=7, **QUICK))
    one.sample(3, seed=0, first_index=kind(64), **QUICK)


@pytest.mark.parametrize("first", [True, 1.5, -1, 2**38, 2**70, "7", [0]], ids=repr)
def test_a_first_index_that_is_no_place_is_refused(first):
    """From 2^38 on, samples would be those of the beginning again."""
    for door in (
        lambda: fitted("one").sample(3, seed=0, first_index=first, **QUICK),
        lambda: fitted("two").transport(X, first_index=first, **QUICK),
        lambda: fitted("one").log_prob(X, first_index=first, **QUICK),
        lambda: BlockNoise(0, ("a",), first=first, count=2, shape=(1,)),
    ):
        with pytest.raises(InvalidInputError, match=r"first_index must be (a whole number|below 2)"):
            door()


# --- conditions ----------------------------------------------------------------------------------------------


@FEW
@given(rows=st.permutations(range(48)))
def test_permuted_rows_with_their_conditions_give_permuted_answers(rows):
    two, one = fitted("two_labelled"), fitted("labelled")
    np.testing.assert_array_equal(
        np.asarray(two.transport(X[rows], cond=WORDS[rows], **QUICK)),
        np.asarray(two.transport(X, cond=WORDS, **QUICK))[rows],
    )
    np.testing.assert_array_equal(lp(one, X[rows], cond=WORDS[rows]), lp(one, X, cond=WORDS)[rows])


def test_a_condition_of_the_fit_must_be_given():
    for door in (
        lambda: fitted("labelled").sample(3, seed=0, **QUICK),
        lambda: fitted("vectors").sample(3, seed=0, **QUICK),
        lambda: fitted("two_labelled").transport(X, **QUICK),
        lambda: lp(fitted("labelled"), X),
    ):
        with pytest.raises(InvalidInputError, match="a bridge fitted with cond needs it in every call"):
            door()


@FEW
@given(word=st.text(max_size=6).filter(lambda s: s not in set(WORDS)))
def test_a_label_that_the_fit_did_not_see_is_refused(word):
    with pytest.raises(InvalidInputError, match="cond must be labels of the fit"):
        fitted("labelled").sample(3, seed=0, cond=["hill", word, "wood"], **QUICK)


@FEW
@given(data=st.data())
def test_labels_of_a_fit_are_found_as_words_categories_and_numbers(data):
    """Whatever the words are: of two labels that read as numbers in part, a number is refused."""
    labels = data.draw(
        st.lists(st.sampled_from(["0", "1", "2", "10", "a", "b"]), min_size=2, max_size=4, unique=True)
    )
    column = np.array(labels)[np.arange(48) % len(labels)]
    bridge = one_sided(X, cond=column)
    wanted = bridge.sample(len(labels), seed=0, cond=labels, **QUICK)
    asked = pandas.Categorical(labels, categories=labels[::-1])
    np.testing.assert_array_equal(bridge.sample(len(labels), seed=0, cond=asked, **QUICK), wanted)
    numeric = [label for label in labels if label.isdigit()]
    if len(numeric) == len(labels):
        found = bridge.sample(len(labels), seed=0, cond=[int(label) for label in labels], **QUICK)
        np.testing.assert_array_equal(found, wanted)
    elif numeric:
        with pytest.raises(InvalidInputError, match="cond must be words, as in the fit"):
            bridge.sample(2, seed=0, cond=[0, 1], **QUICK)


@pytest.mark.parametrize(
    "labels", [[0, 1, 1], ["0", "1", "1"], np.array([0, 1, 1], dtype=object), [0.0, 1.0, 1.0]]
)
def test_numbers_of_labels_are_known_in_any_type(labels):
    bridge = one_sided(X, cond=np.arange(48) % 2)
    wanted = bridge.sample(3, seed=0, cond=np.array([0, 1, 1]), **QUICK)
    np.testing.assert_array_equal(bridge.sample(3, seed=0, cond=labels, **QUICK), wanted)


@FEW
@given(flip=st.booleans(), name=st.sampled_from(["p", "q", "r"]))
def test_columns_of_conditions_are_known_by_name_or_refused(flip, name):
    asked = pandas.DataFrame(X[:4, :2], columns=["p", name])
    asked = asked.iloc[:, ::-1] if flip else asked
    if name == "q":
        wanted = fitted("vectors").sample(
            4, seed=0, cond=pandas.DataFrame(X[:4, :2], columns=["p", "q"]), **QUICK
        )
        np.testing.assert_array_equal(fitted("vectors").sample(4, seed=0, cond=asked, **QUICK), wanted)
    else:
        with pytest.raises(InvalidInputError, match="cond must"):
            fitted("vectors").sample(4, seed=0, cond=asked, **QUICK)


def test_rows_in_another_order_than_their_conditions_are_refused():
    asked = table(X[:6], index=range(6))
    for cond in (pandas.Series(WORDS[:6][::-1], index=range(5, -1, -1)),):
        with pytest.raises(InvalidInputError, match="rows of cond must be in the order of those of x"):
            fitted("two_labelled").transport(asked, cond=cond, **QUICK)


# --- times ---------------------------------------------------------------------------------------------------


TIMES = st.one_of(st.floats(max_value=-1e-3), st.floats(min_value=1.001), st.just(float("nan")))


@MANY
@given(t=TIMES)
def test_a_time_outside_of_the_path_is_refused(t):
    """A network answers at any time: at 1.5 it would do so in silence."""
    x = torch.zeros(4, 3, dtype=torch.float64)
    fields = LearnedFields(OneSidedLinear(), velocity=lambda x, t: x * t[:, None])
    doors = [fields.velocity, fields.score, fitted("two").fields.velocity]
    for door in doors:
        for time in (t, torch.tensor(t), torch.full((4,), t, dtype=torch.float64)):
            with pytest.raises(InvalidInputError, match=r"t must lie in \[0, 1\]"):
                door(x, time)


@pytest.mark.parametrize("t", ["a", None, True, [0.5], {}], ids=repr)
def test_a_time_that_is_no_number_is_refused(t):
    with pytest.raises(InvalidInputError, match=r"Fields\.velocity: t must be a number or a tensor of times"):
        fitted("two").fields.velocity(torch.zeros(4, 3), t)


# --- networks of one's own -----------------------------------------------------------------------------------


@pytest.mark.parametrize("heads", [1, 3])
def test_a_network_with_another_number_of_heads_is_refused(heads):
    fields = LearnedFields(Linear(), joint=MLP(2, heads=heads, width=8, depth=1), heads=("velocity", "noise"))
    rule = (
        r"LearnedFields\.joint: the output must have shape \(4, 2, 2\), one entry for each of velocity, noise"
    )
    for door in (
        lambda: fields.velocity(torch.zeros(4, 2), 0.5),
        lambda: sample(fields, torch.zeros(4, 2), n_steps=2),
        lambda: log_prob(fields, torch.zeros(4, 2), Gaussian((2,)), method="euler", n_steps=2),
    ):
        with pytest.raises(InvalidInputError, match=rule):
            door()
    with pytest.raises(InvalidInputError, match="must"):
        Bridge("linear", net=MLP(3, heads=heads, width=8, depth=1), steps=2).fit(X, X, progress=False)


# --- data of a resumed fit -----------------------------------------------------------------------------------


class KilledError(Exception):
    pass


def resumed(**changes):
    """A fit that was killed at its second step, gone on with other data or settings."""
    data = {"x0": X[::-1].copy(), "x1": X, "cond": WORDS}
    options = {**TINY, "held_out": 0, "checkpoint_every": 1}

    def kill(stage, k, steps):
        if k == 2:
            raise KilledError

    with tempfile.TemporaryDirectory() as folder:
        with pytest.raises(KilledError):
            Bridge("linear", **options).fit(**data, out=Path(folder), watch=kill, progress=False)
        settings = {name: changes.pop(name) for name in list(changes) if name not in data}
        again = Bridge("linear", **{**options, **settings})
        return again.fit(**{**data, **changes}, out=Path(folder), resume=True, progress=False)


def test_a_fit_goes_on_with_the_same_data_in_another_container():
    wanted = np.asarray(resumed().transport(X, cond=WORDS, **QUICK))
    found = resumed(x1=table(), x0=table(X[::-1].copy())).transport(X, cond=WORDS, **QUICK)
    np.testing.assert_array_equal(np.asarray(found), wanted)


@pytest.mark.parametrize(
    "changes",
    [
        {"x1": X + 1},
        {"x1": X[::-1].copy()},
        {"x1": X[:, ::-1].copy()},
        {"x1": X.astype("float32")},
        {"x1": np.nextafter(X, 9)},
        {"x0": X},
        {"cond": WORDS[::-1].copy()},
        {"cond": None},
        {"seed": 1},
        {"lr": 0.1},
        {"batch_size": 8},
    ],
    ids=str,
)
def test_a_fit_does_not_go_on_with_other_data(changes):
    with pytest.raises(InvalidInputError, match="resume=True must continue the same run"):
        resumed(**changes)


# --- more of the same ----------------------------------------------------------------------------------------


@pytest.mark.slow
@settings(MANY, max_examples=25)
@given(scale=SCALES, shift=SHIFTS, order=st.permutations(range(3)))
def test_two_ends_follow_their_units(scale, shift, order):
    def changed(x):
        return (x + shift) * scale

    plain, other = two_sided(X[::-1].copy(), X), two_sided(changed(X[::-1]), changed(X))
    made = other.transport(changed(X[:9]), **QUICK) / scale - shift
    np.testing.assert_allclose(made, plain.transport(X[:9], **QUICK), rtol=2e-3, atol=2e-3)


@pytest.mark.slow
@settings(MANY, max_examples=25)
@given(order=st.permutations(NAMES), rows=st.permutations(range(12)))
def test_tables_of_forecasts_and_flow_maps_are_read_by_name(order, rows):
    now, later = table(), table(X + 1)
    forecaster = Forecaster(**TINY).fit(now, later)
    climate = Climatology().fit(now, later)
    flow = FlowMap(**TINY).fit(now, later)
    asked = table(X[rows], index=[f"r{i}" for i in rows])
    for verb in (lambda x: flow.transport(x, n_steps=1), lambda x: forecaster.forecast(x, members=2, **QUICK).x,
                 lambda x: climate.forecast(x, members=2).x):  # fmt: skip
        np.testing.assert_array_equal(np.asarray(verb(asked[order])), np.asarray(verb(asked)))
