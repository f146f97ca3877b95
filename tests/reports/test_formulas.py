"""Formulas of the report: what members say of themselves, set as HTML."""

import pytest

from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.registry import describe
from interpolants.foundations.student_t import StudentT
from interpolants.paths import EncoderDecoder, Linear, Mirror, OneSidedLinear, QuadraticEnvelope, ZeroEnvelope
from interpolants.reports.sentences import formula
from interpolants.reports.tables import Tables

X0, X1, XT = "<var>x</var><sub>0</sub>", "<var>x</var><sub>1</sub>", "<var>x<sub>t</sub></var>"
T, Z = "<var>t</var>", "<var>z</var>"


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
            f"{XT} = (1 − {T}) {X0} + {T} {X1} + γ({T}) {Z}<br>γ({T}) = scale {T}(1 − {T}), scale = 2",
        ),
        (Linear(envelope=ZeroEnvelope()), f"{XT} = (1 − {T}) {X0} + {T} {X1}"),
        (Mirror(), f"{XT} = {X1} + γ({T}) {Z}<br>γ({T}) = √(scale {T}(1 − {T})), scale = 1"),
        (OneSidedLinear(base=Gaussian()), f"{XT} = (1 − {T}) {X0} + {T} {X1}, {X0} Gaussian"),
        (OneSidedLinear(base=StudentT(df=5)), f"{XT} = (1 − {T}) {X0} + {T} {X1}, {X0} Student-t (df = 5)"),
    ],
)
def test_the_report_shows_the_formula_with_envelope_and_base(path, expected):
    shown = Tables._formula(None, describe(path))
    assert str(shown) == f'<p class="formula">{expected}</p>'


def test_an_envelope_that_a_path_brings_is_shown_as_it_is():
    """The encoder-decoder path has gamma = sin^2(pi t), whatever other paths default to."""
    assert "sin²(π" in str(Tables._formula(None, describe(EncoderDecoder())))


def test_a_path_of_a_user_has_no_formula():
    assert Tables._formula(None, {"kind": "MyPath"}) is None
    assert Tables._formula(None, {}) is None
