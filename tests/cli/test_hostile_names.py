"""Names from strangers' recipes and data act neither on the terminal nor in what is written."""

import io

from rich.console import Console
from torture.hostile_names import NAMES, attempt

from interpolants.cli.show import Screen
from interpolants.framework.stage_logs import StageLog
from interpolants.reports.training_words import growing, trained

ACTING = "a\x07\x1b[31mred\x9b2J"


def test_control_characters_of_a_recipe_are_written_out(tmp_path):
    """A role that there is not is refused by its name."""
    assert attempt(tmp_path, 0, "role", next(name for name in NAMES if "\x1b" in name)) == (False, "")


def test_what_a_command_shows_has_no_control_characters(capsys, monkeypatch):
    screen = Screen()
    screen._out = Console(file=io.StringIO(), width=200)
    screen._hints = Console(file=io.StringIO(), width=200)
    screen.say(ACTING)
    screen.following(ACTING, ACTING)
    screen.table(ACTING, [ACTING], [[ACTING]])
    screen.numbers(ACTING, [ACTING, "[red]b"], [[ACTING, "1"]])
    screen.columns([[ACTING, ACTING]], title=ACTING)
    shown = screen._out.file.getvalue() + screen._hints.file.getvalue()
    assert not {"\x07", "\x1b", "\x9b"} & set(shown)
    assert shown.count(r"\x1b[31m") == 12
    assert "[red]b" in shown  # a name is no markup
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    screen.lines([ACTING])
    assert r"\x1b[31m" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: False)
    screen.lines([ACTING])
    assert ACTING in capsys.readouterr().out


def test_a_stage_that_had_nothing_to_do_has_no_steps():
    """As that of a regression whose columns are words, with no lengthscale to learn: its page ended in an error."""
    nothing = StageLog([], 0.0, (), 0)
    assert trained({"hyperparameters": nothing}) == ""
    assert growing({"hyperparameters": nothing}) == "Training has not written its first line yet."
    some = StageLog([{"step": 3}], 0.0, (), 5)
    assert trained({"hyperparameters": nothing, "match": some}) == "match: 3 steps"
