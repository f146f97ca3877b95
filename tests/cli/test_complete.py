"""What tab offers, by the functions and through the shell's own protocol; and the options that are public."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from interpolants.cli import complete
from interpolants.cli.app import app
from interpolants.runs.config import make_config

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("train.st", ["train.steps="]),
        ("bridge.path=one_sided_l", ["bridge.path=one_sided_linear"]),
        ("bridge.standardize=", ["bridge.standardize=true", "bridge.standardize=false"]),
        ("train.precision=b", ["train.precision=bf16"]),
        ("evaluate.auto", ["evaluate.auto_eps="]),
        ("data.x0.prob", ["data.x0.problem="]),
        ("nothing.of.the.kind", []),
        ("train.steps=", []),
    ],
)
def test_settings_are_offered_by_their_dotted_keys(typed, offered):
    assert complete.settings(typed) == offered


def test_every_key_that_is_offered_can_be_set():
    keys = [word[:-1] for word in complete.settings("")]
    assert len(keys) > 60
    x1 = {"data": {"x1": {"problem": "moons"}}}
    for key in ("train.steps", "evaluate.n", "bridge.seed", "data.seed", "seed"):
        if key in keys:
            make_config(x1, [f"{key}=7"])


def test_recipes_methods_and_kinds_are_offered(tmp_path, monkeypatch):
    (tmp_path / "recipes").mkdir()
    for name in ("recipes/a.toml", "recipes/b.toml", "c.toml"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert complete.recipes("rec") == ["recipes/a.toml", "recipes/b.toml", "rectification"]
    assert complete.recipes("c") == ["c.toml", "checkerboard"]
    assert complete.recipe_names("moons") == ["moons_to_rings"]
    assert complete.method_words("mirr") == ["mirror"]
    assert complete.method_words("sh") == ["show", "shuttle", "shortest_path"]
    assert complete.kinds("env") == ["envelope"]
    assert complete.path_ids("trig") == ["trigonometric"]


def test_the_shell_is_answered():
    """By the protocol of bash, in a process of its own."""
    words = "interpolants run --set train.st"
    asked = {"_INTERPOLANTS_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "3"}
    code = "import sys; sys.argv = ['interpolants']; from interpolants.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["train.steps="], done.stderr


def test_public_options_change_only_on_purpose():
    """A new option is added to options.json; one that goes, or changes its name, breaks users' scripts."""
    group = typer.main.get_command(app)
    found = {
        name: sorted(
            word for parameter in command.params for word in (*parameter.opts, *parameter.secondary_opts)
        )
        for name, command in sorted(group.commands.items())
    }
    assert found == json.loads((HERE / "options.json").read_text("utf-8"))
