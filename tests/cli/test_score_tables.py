"""Scores on a terminal of 80 columns: question by question, words and numbers whole."""

import re

import pytest

from interpolants.cli.recipe_runs import show_answers
from interpolants.cli.show import Screen
from interpolants.framework.answered import Answered
from interpolants.framework.claims import Claim, Verdict
from interpolants.framework.scores import Score

TITLE = "Sliced Wasserstein-2 distance to held-out data, SDE, eps = 0.5"


def score(name, **more):
    given = {"value": 0.94381, "error": 0.0841, "better": "lower", "title": TITLE, "floor": 0.37817}
    return Score(name=name, **{**given, **more})


def shown(found, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    show_answers(found, Screen())
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    return "\n".join(line.rstrip() for line in lines)


def test_words_and_numbers_stay_whole_beside_two_rivals(capsys, monkeypatch):
    rivals = {"gaussian_fit": 0.58099, "token_frequencies": 0.97309}
    found = Answered(
        scores=(score("levels.a", rivals=rivals), score("other.a", floor="unknown: nobody said"))
    )
    text = shown(found, capsys, monkeypatch)
    words = re.findall(r"\S+", text)
    for word in [
        *TITLE.split(),
        "gaussian",
        "fit",
        "token",
        "frequencies",
        "0.3782",
        "0.581",
        "0.9731",
        "levels",
    ]:
        assert word in words, word
    assert text.count("0.9438 ± 0.084") == 2
    first, second = text.split("\nother\n")
    assert "floor" in first
    assert "floor" not in second
    assert "nobody" not in text


@pytest.mark.parametrize("cells", ["", "a_seed0/"])
def test_many_rivals_are_rows_and_cells_are_named(cells, capsys, monkeypatch):
    rivals = {f"rival_{k}": 0.1 * k for k in range(5)}
    text = shown(Answered(scores=(score(f"{cells}levels.a", rivals=rivals),)), capsys, monkeypatch)
    assert all(re.search(rf"^ +rival_{k} +0", text, re.MULTILINE) for k in range(5))
    assert ("a_seed0: levels" in text) == bool(cells)


def test_rivals_are_rows_where_columns_leave_no_room_for_words(capsys, monkeypatch):
    rivals = {"dressed_seeds": 1.5, "seed_regression": 1.4, "ensemble_climatology": 2.0}
    text = shown(Answered(scores=(score("levels.a", rivals=rivals),)), capsys, monkeypatch)
    assert re.search(r"^ +ensemble_climatology +2$", text, re.MULTILINE)
    assert "Sliced Wasserstein-2" in text


def test_long_claims_and_verdicts_wrap_between_words(capsys, monkeypatch):
    claim = Claim(says="track_displacement.ade < no_symmetry", expected="undecided")
    text = shown(Answered(verdicts=(Verdict(claim, "holds", -0.0104, 0.002, 1),)), capsys, monkeypatch)
    assert "track_displacement.ade" in text.split()
    assert {"no_symmetry", "(expected", "undecided)"} <= {*text.split()}
    assert "…" not in text


def test_claims_are_lines_without_marks_and_nothing_is_nothing(capsys, monkeypatch):
    claim = Claim(says="levels.sliced_w2_eps_0_5 < gaussian_fit")
    text = shown(Answered(verdicts=(Verdict(claim, "holds", -0.3, 0.1, 3),)), capsys, monkeypatch)
    assert "`" not in text
    assert "-0.3 ± 0.1" in text
    assert "holds" in text
    assert shown(Answered(), capsys, monkeypatch) == ""


def test_no_column_of_settings_is_lost_beside_many_numbers(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    header = [
        "method.hidden",
        "method.symmetries",
        "method.steps",
        "mean",
        "error",
        "seed 0",
        "seed 1",
        "seed 2",
    ]
    Screen().numbers(
        "by loss", header, [["[16]", "false", "200", "0.442876", "0.012", "0.423169", "0.440173", "0.46528"]]
    )
    text = capsys.readouterr().out
    for word in ["hidden", "symmetries", "steps", "[16]", "false", "200", "0.442876", "0.46528"]:
        assert re.search(rf"(?<!\S){re.escape(word)}(?!\S)", text), word
