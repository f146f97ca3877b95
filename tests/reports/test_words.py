"""Numbers and formulas in words."""

import math

import pytest

from interpolants.foundations.gaussian import Gaussian
from interpolants.paths import EncoderDecoder, Linear, Mirror, OneSidedLinear, QuadraticEnvelope, ZeroEnvelope
from interpolants.paths.student_t import StudentT
from interpolants.reports import words
from interpolants.reports.words import formula

X0, X1, XT = "<var>x</var><sub>0</sub>", "<var>x</var><sub>1</sub>", "<var>x<sub>t</sub></var>"
T, Z = "<var>t</var>", "<var>z</var>"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.12345, "0.123"), (1797.0, "1,797"), (3.0, "3"), (-2.5, "−2.50"), (0.0, "0"), (1e-7, "1.00 × 10⁻⁷"),
     (math.nan, "–"), (-math.inf, "−∞")],
)  # fmt: skip
def test_numbers_have_three_digits_and_whole_ones_all(value, shown):
    assert words.number(value) == shown


@pytest.mark.parametrize(
    ("value", "error", "shown"),
    [(0.12345, 0.0041, "0.1235 ± 0.0041"), (40.21, 0.93, "40.21 ± 0.93"), (1234.5, 120.0, "1,234 ± 120"),
     (0.0222, 1.34e-10, "0.0222 ± 1.3 × 10⁻¹⁰"), (0.5, math.nan, "0.500"), (0.5, 0.0, "0.500")],
)  # fmt: skip
def test_an_error_sets_the_place_where_its_value_ends(value, error, shown):
    assert words.with_error(value, error) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.42, "0.4 s"), (42, "42 s"), (60, "1 min"), (192, "3 min 12 s"), (3600, "1 h"), (7500, "2 h 5 min")],
)  # fmt: skip
def test_durations_read_as_people_say_them(seconds, shown):
    assert words.duration(seconds) == shown


def test_lists_counts_and_names():
    assert [words.listing(list("abcd")[:n]) for n in (0, 1, 2, 3)] == ["", "a", "a and b", "a, b and c"]
    assert words.listing(list("abcdef"), 3) == "a, b, c and 3 more"
    assert words.listing(list("abcd"), 3) == "a, b, c and d"  # "and 1 more" is no shorter
    assert [words.count(n, "row") for n in (1, 2000)] == ["1 row", "2,000 rows"]
    assert [words.named(n) for n in ("rotating_mixture", "my_rows.csv")] == [
        "rotating mixture",
        "my_rows.csv",
    ]
    assert [words.times(r) for r in (1.24, 9.94, 14.2)] == ["1.2×", "9.9×", "14×"]
    assert words.sentence("no stop") == "No stop."
    assert words.slug("../A b/ü") == "a-b"


@pytest.mark.parametrize(
    ("value", "shown"),
    [({"kind": "mlp", "width": 8, "residual": True}, "mlp (width 8, residual yes)"), ([0.0, 0.5], "0, 0.5"),
     ([], "none"), (None, "none"), ({"n_steps": 10}, "n steps 10"), (2e-3, "0.002"), ("linear", "linear")],
)  # fmt: skip
def test_settings_read_in_one_line(value, shown):
    assert words.setting(value) == shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x_t = (1 - t) x0 + t x1", f"{XT} = (1 − {T}) {X0} + {T} {X1}"),
        ("cos(πt/2) x0", f"cos(π{T}/2) {X0}"),
        ("√(1 - e^(-B)) x0", f"√(1 − e<sup>−B</sup>) {X0}"),
        ("(smax/smin)^(1 - t) z", f"(smax/smin)<sup>1 − {T}</sup> {Z}"),
        ("γ(t) = scale t(1 - t)", f"γ({T}) = scale {T}(1 − {T})"),
        ("t < 1 & t > 0", f"{T} &lt; 1 &amp; {T} &gt; 0"),
        ("<b>t</b>", f"&lt;<var>b</var>&gt;{T}&lt;/<var>b</var>&gt;"),
    ],
)
def test_plain_text_is_set_as_mathematics(text, expected):
    assert formula(text) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            Linear(envelope=QuadraticEnvelope(scale=2.0)),
            [f"{XT} = (1 − {T}) {X0} + {T} {X1} + γ({T}) {Z}", f"γ({T}) = scale {T}(1 − {T}), scale = 2"],
        ),
        (Linear(envelope=ZeroEnvelope()), [f"{XT} = (1 − {T}) {X0} + {T} {X1}"]),
        (Mirror(), [f"{XT} = {X1} + γ({T}) {Z}", f"γ({T}) = √(scale {T}(1 − {T})), scale = 1"]),
        (OneSidedLinear(base=Gaussian()), [f"{XT} = (1 − {T}) {X0} + {T} {X1}, {X0} Gaussian"]),
        (OneSidedLinear(base=StudentT(df=5)), [f"{XT} = (1 − {T}) {X0} + {T} {X1}, {X0} Student-t (df = 5)"]),
    ],
)
def test_formulas_of_paths_are_set_with_envelope_and_base(path, expected):
    assert [formula(line) for line in path.formulas] == expected


def test_an_envelope_that_a_path_brings_is_shown_as_it_is():
    """The encoder-decoder path has gamma = sin^2(pi t), whatever other paths default to."""
    assert "sin²(π" in "".join(map(formula, EncoderDecoder().formulas))
