import pytest

from interpolants.data.unit_words import same_unit


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("K", "kelvin"),
        ("degC", "deg C"),
        ("Celsius", "°C"),
        ("m s**-1", "m/s"),
        ("m s-1", "metres / second"),
        ("m.s-1", "m s^-1"),
        ("mm/h", "kg m-2 h-1"),
        ("mbar", "hPa"),
        ("(0 - 1)", "1"),
        ("", "K"),
        ("furlong", "furlong"),
    ],
)
def test_spellings_of_one_unit(first, second):
    assert same_unit(first, second)
    assert same_unit(second, first)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("K", "degC"),
        ("Pa", "hPa"),
        ("mm/h", "mm/d"),
        ("m", "mm"),
        ("W m-2", "J m-2"),
        ("1", "%"),
        ("mM", "MM"),
        ("m/s", "s/m"),
    ],
)
def test_units_of_another_size_or_kind(first, second):
    assert not same_unit(first, second)
    assert not same_unit(second, first)
