import math

import pytest

from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.answered import Answered
from interpolants.framework.claims import Claim, verdict_lines
from interpolants.framework.scores import Score


def seeds(*values, rival=None, **more):
    """Answers of a question "q" with a score "s", one a seed."""
    rivals = {} if rival is None else {"other": rival}
    return [{"q": Answered(scores=(Score(name="s", value=v, rivals=rivals, **more),))} for v in values]


@pytest.mark.parametrize(
    ("says", "parts"),
    [
        ("a.b < 0.9 ridge - 0.03", ("a", "b", "<", 0.9, "ridge", -0.03)),
        ("a.b<ridge", ("a", "b", "<", 1.0, "ridge", 0.0)),
        ("a.b >= 2 * ridge", ("a", "b", ">=", 2.0, "ridge", 0.0)),
        ("a.b <= ridge + 1e-3", ("a", "b", "<=", 1.0, "ridge", 1e-3)),
    ],
)
def test_a_claim_is_read(says, parts):
    assert Claim(says=says).parts == parts


def test_numbers_and_floors_are_read():
    assert Claim(says="a.b > -2.5e-3", role="number").parts == ("a", "b", ">", -2.5e-3, "", 0.0)
    assert Claim(says="a.b < 1.5 floor", role="floor").parts == ("a", "b", "<", 1.5, "floor", 0.0)


@pytest.mark.parametrize("says", ["b < 1", "a.b = 1", "a.b <", "a.b < c d", "a.b < 1 2", "a.b < + 2"])
def test_what_cannot_be_read_is_refused(says):
    with pytest.raises(InvalidInputError, match="it must read"):
        Claim(says=says)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"role": "number"}, "role must fit"),
        ({"role": "floor"}, "role must fit"),
    ],
)
def test_what_makes_no_sense_is_refused(change, rule):
    with pytest.raises(InvalidInputError, match=rule):
        Claim(**{"says": "a.b < c", **change})


# gap = value - (0.9 * 1.0 - 0.1) = value - 0.8; its standard error over three seeds is 0.01 / sqrt(3)
@pytest.mark.parametrize(
    ("values", "outcome"),
    [((0.69, 0.70, 0.71), "holds"), ((0.89, 0.90, 0.91), "fails"), ((0.79, 0.80, 0.82), "undecided")],
)
def test_seeds_decide_beyond_two_standard_errors(values, outcome):
    claim = Claim(says="q.s < 0.9 other - 0.1", seeds=3)
    found = claim.judge(seeds(*values, rival=1.0), budget="ci")
    assert found.outcome == outcome
    assert found.gap == pytest.approx(sum(values) / 3 - 0.8)
    assert found.seeds == 3
    if outcome == "holds":
        assert found.error == pytest.approx(0.01 / math.sqrt(3))


@pytest.mark.parametrize(
    ("error", "outcome"), [(0.04, "holds"), (0.06, "undecided"), (math.nan, "undecided")]
)
def test_one_seed_is_decided_by_its_own_error(error, outcome):
    claim = Claim(says="q.s < 1", role="number")
    assert claim.judge(seeds(0.9, error=error), budget="ci").outcome == outcome
    paired = {"gaps": {"other": error}}
    assert Claim(says="q.s < other").judge(seeds(0.9, rival=1.0, **paired), budget="ci").outcome == outcome
    floor = Claim(says="q.s < floor", role="floor")
    assert floor.judge(seeds(0.9, error=error, floor=1.0), budget="ci").outcome == outcome


def test_a_factor_widens_the_error_of_a_pair():
    # 2 r = 2.2; the error of value - 2 r is at most 0.04 + 1 * (0.04 + 0.03) = 0.11, and the gap is -0.2.
    found = Claim(says="q.s < 2 other").judge(
        seeds(2.0, rival=1.1, error=0.03, gaps={"other": 0.04}), budget="ci"
    )
    assert (found.gap, found.error) == pytest.approx((-0.2, 0.11))
    assert found.outcome == "undecided"


def test_infinite_gaps_and_exact_equality_are_decided():
    number = Claim(says="q.s < 1", role="number")
    assert number.judge(seeds(math.inf), budget="ci").outcome == "fails"
    assert number.judge(seeds(-math.inf), budget="ci").outcome == "holds"
    assert number.judge(seeds(math.nan, error=0.0), budget="ci").outcome == "undecided"
    assert number.judge(seeds(1.0, error=0.0), budget="ci").outcome == "fails"
    assert Claim(says="q.s <= 1", role="number").judge(seeds(1.0, error=0.0), budget="ci").outcome == "holds"


def test_it_is_judged_only_with_its_budget_and_its_seeds():
    claim = Claim(says="q.s < 1", role="number", budget="study", seeds=2)
    assert claim.judge(seeds(0.1, 0.2), budget="ci").outcome == "not asked"
    assert claim.judge(seeds(0.1), budget="study").outcome == "not asked"
    assert claim.judge([{}, {}], budget="study").outcome == "not asked"
    assert claim.judge(seeds(0.1, 0.2), budget="study").outcome == "holds"


def test_a_missing_score_rival_or_floor_is_named():
    with pytest.raises(InvalidInputError, match="the score must be one of those that were computed, got 't'"):
        Claim(says="q.t < 1", role="number").judge(seeds(0.1), budget="ci")
    with pytest.raises(InvalidInputError, match=r"must have the rival, got 'othr'. Did you mean 'other'"):
        Claim(says="q.s < othr").judge(seeds(0.1, rival=1.0), budget="ci")
    with pytest.raises(InvalidInputError, match="must have a floor"):
        Claim(says="q.s < floor", role="floor").judge(seeds(0.1), budget="ci")


def test_an_expected_loss_is_shown_and_no_surprise():
    lost = Claim(says="q.s < 1", role="number", expected="fails").judge(seeds(2.0, error=0.1), budget="ci")
    assert (lost.outcome, lost.surprising) == ("fails", False)
    won = Claim(says="q.s < 1", role="number", expected="fails").judge(seeds(0.0, error=0.1), budget="ci")
    assert (won.outcome, won.surprising) == ("holds", True)
    assert verdict_lines([lost]) == [["`q.s < 1`", "number", "1", "1 ± 0.1", "fails (expected to fail)"]]


def test_a_tie_that_is_expected():
    """Any decision is a surprise then; a tie is none, whatever was expected."""
    tie = Claim(says="q.s < 1", role="number", expected="undecided")
    found = tie.judge(seeds(1.05, error=0.1), budget="ci")
    assert (found.outcome, found.surprising) == ("undecided", False)
    assert verdict_lines([found])[0][-1] == "undecided (expected to be undecided)"
    assert tie.judge(seeds(0.0, error=0.1), budget="ci").surprising
    assert tie.judge(seeds(2.0, error=0.1), budget="ci").surprising
