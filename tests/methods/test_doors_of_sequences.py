"""What a user may hand in as tokens, series or images ends in the right answer or in a message.

Companion of ``test_public_doors.py``, which does the same for rows. The fits take a few steps, and what is tested holds
for any weights.
"""

import functools

import numpy as np
import pandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interpolants.apps.timeseries import SelfGuidedDiffusion
from interpolants.foundations.errors import InvalidInputError
from interpolants.methods import Restoration, TokenBridge

FEW = settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
RNG = np.random.default_rng(0)

# --- tokens --------------------------------------------------------------------------------------------------

TOKENS = RNG.integers(0, 4, (40, 5))
TRANSFORMER = {"width": 16, "depth": 1, "attention_heads": 2}


def learnt(tokens, **more):
    return TokenBridge(net=TRANSFORMER, steps=2, batch_size=8, **more).fit(tokens, progress=False)


@functools.cache
def tokens_learnt():
    return learnt(TOKENS)


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "uint16", "uint32", "int32", "uint64", ">i4"])
def test_whole_numbers_of_any_type_are_the_same_tokens(kind):
    found = tokens_learnt().nelbo(TOKENS.astype(kind)).per_sequence
    np.testing.assert_array_equal(found, tokens_learnt().nelbo(TOKENS).per_sequence)
    np.testing.assert_array_equal(learnt(TOKENS.astype(kind)).sample(3), tokens_learnt().sample(3))


@pytest.mark.parametrize("kind", ["bool", "float32", "float64", "complex64", "U1", "object", "M8[s]"])
def test_what_is_no_whole_number_is_no_token(kind):
    for door in (tokens_learnt().nelbo, learnt):
        with pytest.raises(InvalidInputError, match=r"must be whole numbers|text needs a method"):
            door(TOKENS.astype(kind))


@FEW
@given(
    place=st.tuples(st.integers(0, 39), st.integers(0, 4)),
    token=st.sampled_from([-1, -(2**40), 4, 255, 2**40]),
)
def test_a_token_that_the_vocabulary_has_not_is_refused(place, token):
    other = TOKENS.copy()
    other[place] = token
    with pytest.raises(InvalidInputError, match=r"must be (>= 0|tokens 0)"):
        tokens_learnt().nelbo(other)


@FEW
@given(code=st.integers(2_000, 2**40))
def test_codes_that_are_no_numbering_do_not_become_a_network_that_no_memory_holds(code):
    years = np.where(TOKENS == 1, code, TOKENS)
    with pytest.raises(InvalidInputError, match="V near the 4 different ones"):
        learnt(years)


def test_missing_tokens_are_never_numbers():
    gaps = np.ma.masked_equal(TOKENS, 1), np.where(TOKENS == 1, np.nan, TOKENS)
    for x in gaps:
        for door in (tokens_learnt().nelbo, tokens_learnt().complete, learnt):
            with pytest.raises(InvalidInputError, match="must be whole numbers"):
                door(x)


@FEW
@given(order=st.permutations("abcde"))
def test_named_columns_are_no_places_of_a_sequence(order):
    """They would be taken in whatever order the table has them."""
    table = pandas.DataFrame(TOKENS, columns=list("abcde"))[order]
    for door in (tokens_learnt().nelbo, learnt):
        with pytest.raises(InvalidInputError, match="must have no names of columns"):
            door(table)
    np.testing.assert_array_equal(learnt(pandas.DataFrame(TOKENS)).sample(3), tokens_learnt().sample(3))


# --- series --------------------------------------------------------------------------------------------------

HOURS = pandas.date_range("2024-01-01", periods=90, freq="h")
TURN = np.arange(90) / 4
WAVES = pandas.DataFrame({"u": np.sin(TURN), "v": 5 + 3 * np.cos(TURN)}, index=HOURS)
WINDOW = {"context": 8, "horizon": 4, "steps": 100, "batch_size": 8}
FORECAST = {"members": 2, "n_steps": 20, "strength": 0.1}


def followed(series):
    net = {"kind": "gated_convolution", "width": 8, "blocks": 2}
    return SelfGuidedDiffusion(net=net, **WINDOW).fit(series, progress=False)


@functools.cache
def waves_learnt():
    return followed(WAVES)


def forecast(series, model=None):
    return np.asarray((model or waves_learnt()).forecast(series, **FORECAST).x)


@functools.cache
def known_forecast():
    return forecast(WAVES)


@FEW
@given(order=st.permutations(["u", "v", "note"]))
def test_columns_of_a_series_are_known_by_name(order):
    np.testing.assert_array_equal(forecast(WAVES.assign(note=1.0)[order]), known_forecast())


@settings(FEW, max_examples=3)
@given(scale=st.integers(-20, 20).map(lambda k: 2.0**k), shift=st.integers(-8, 8))
def test_forecasts_follow_the_units_of_a_series(scale, shift):
    other = (WAVES + shift) * scale
    np.testing.assert_allclose(
        forecast(other, followed(other)) / scale - shift, known_forecast(), rtol=1e-4, atol=1e-4
    )


@FEW
@given(data=st.data())
def test_a_clock_with_a_fault_is_refused(data):
    """Rows in another order, twice, or missing: later values would stand at a wrong time."""
    row = data.draw(st.integers(1, 88), label="row")
    index = np.arange(90)
    faults = {
        "swapped": np.r_[index[:row], row + 1, row, index[row + 2 :]] if row < 88 else index[::-1],
        "twice": np.r_[index[:row], row, index[row:]],
        "missing": np.delete(index, row),
        "backwards": index[::-1],
    }
    for rows in faults.values():
        with pytest.raises(InvalidInputError, match=r"must increase|must follow each other"):
            forecast(WAVES.iloc[rows])


@pytest.mark.parametrize(
    ("other", "rule"),
    [
        (WAVES.tz_localize("UTC"), "the clock of the fit"),
        (WAVES.resample("2h").mean(), "the clock of the fit"),
        (WAVES.reset_index(drop=True), "the clock of the fit"),
        (WAVES.to_numpy(), "the clock of the fit"),
        (WAVES.rename(columns={"u": "U"}), "the columns of the fit"),
        (WAVES[["u"]], "the columns of the fit"),
        (WAVES.astype(str), "numeric columns"),
        (WAVES.replace(WAVES.iloc[5, 0], np.inf), "must be finite"),
        (WAVES.to_numpy() * 1j, "floating point"),
    ],
)
def test_a_series_of_another_kind_is_refused(other, rule):
    with pytest.raises(InvalidInputError, match=rule):
        forecast(other)


# --- images --------------------------------------------------------------------------------------------------

IMAGES = RNG.normal(size=(24, 1, 8, 8))
HOLED = np.where(RNG.random((6, 1, 8, 8)) < 0.4, np.nan, IMAGES[:6])


@functools.cache
def painter():
    net = {"kind": "unet", "channels": 8, "blocks": 1, "attention": ()}
    return Restoration(coupling="in_painting", net=net, steps=2, batch_size=8).fit(IMAGES, progress=False)


def restored(observed):
    return np.asarray(painter().restore(observed, n_steps=2).x)


@FEW
@given(count=st.integers(1, 6))
def test_a_restored_image_does_not_depend_on_those_behind_it(count):
    np.testing.assert_array_equal(restored(HOLED[:count]), restored(HOLED)[:count])
    known = np.isfinite(HOLED[:count])
    passed = restored(HOLED[:count])[:, 0][known]
    np.testing.assert_array_equal(passed.astype(np.float32), HOLED[:count][known].astype(np.float32))


@FEW
@given(
    shape=st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from([4, 8]), st.sampled_from([4, 8]))
)
def test_images_of_another_shape_are_refused(shape):
    asked = np.full(shape, np.nan)
    if shape[0] and shape[1:] == (1, 8, 8):
        assert np.isfinite(restored(asked)).all()
        return
    with pytest.raises(InvalidInputError, match=r"must (have|not be empty|hold)"):
        restored(asked)
