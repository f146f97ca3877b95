"""What tab offers, by the functions and through the shell's own protocol; and the options that are public."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from interpolants.cli import complete
from interpolants.cli.app import app
from interpolants.cli.verbs import VerbCommand
from interpolants.framework.capabilities import capabilities_of
from interpolants.methods import Bridge
from interpolants.runs.own_files import own_tables
from interpolants.runs.recipe_files import changed_recipe

HERE = Path(__file__).parent


class Typed:
    """What the shell's protocol knows of the words before."""

    def __init__(self, **params):
        self.params = params


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("method.st", ["method.standardize=", "method.steps="]),
        ("method.path=one_sided_l", ["method.path=one_sided_linear"]),
        ("method.kind=flow", ["method.kind=flow_map"]),
        ("data.x", ["data.x0=", "data.x1.file="]),
        ("see", ["seed=", "seeds="]),
        ("nothing.of.the.kind", []),
        ("method.steps=", []),
    ],
)
def test_settings_are_offered_by_their_dotted_keys(typed, offered):
    assert complete.settings(Typed(), typed) == offered


def test_the_keys_are_those_of_the_recipe():
    assert complete.settings(Typed(config="restoration"), "data.x1.d") == ["data.x1.dataset="]
    assert complete.settings(Typed(config="no_such_recipe"), "method.") == []


def test_every_key_of_a_method_that_is_offered_can_be_set():
    keys = [word[:-1] for word in complete.settings(Typed(), "")]
    assert len(keys) > 30
    tables = own_tables({"x0": None, "x1": "b.csv", "cond": None})
    for key in ("method.steps", "method.seed", "method.batch_size", "split.test", "seed"):
        assert key in keys
        changed_recipe(tables, [f"{key}=7"])


def test_recipes_methods_and_kinds_are_offered(tmp_path, monkeypatch):
    (tmp_path / "recipes").mkdir()
    for name in ("recipes/a.toml", "recipes/b.toml", "c.toml"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert complete.recipes("rec") == ["recipes/a.toml", "recipes/b.toml", "rectification"]
    assert complete.recipes("ch") == ["checkerboard"]
    assert complete.recipes("c")[0] == "c.toml"
    assert complete.recipes("spectral_gp") == ["spectral_gp", "spectral_gp_sea"]
    assert complete.recipe_names("moons") == ["moons_to_rings"]
    assert complete.method_words("mirr") == ["mirror"]
    assert complete.method_words("sh") == ["show", "shuttle", "shortest_path"]
    assert complete.kinds("env") == ["envelope"]
    assert complete.path_ids("trig") == ["trigonometric"]


def test_the_shell_is_answered():
    """By the protocol of bash, as to the program by its name."""
    words = "interpolants run --set method.ste"
    asked = {"_INTERPOLANTS_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "3"}
    done = CliRunner().invoke(app, [], env=asked, prog_name="interpolants")
    assert done.stdout.split() == ["method.steps="], done.output


def options_of(command):
    return sorted(word for p in command.params for word in (*p.opts, *p.secondary_opts))


def test_public_options_change_only_on_purpose():
    """A new option is added to options.json; one that goes, or changes its name, breaks users' scripts."""
    group = typer.main.get_command(app)
    found = {name: options_of(command) for name, command in sorted(group.commands.items())}
    bridge = Bridge("one_sided_linear")
    for verb, one in sorted(capabilities_of(Bridge).items()):
        made = typer.Typer(add_completion=False)
        made.command()(VerbCommand(bridge, one, HERE, "runs/a").function())
        found[f"bridge: {verb}"] = options_of(typer.main.get_command(made))
    assert found == json.loads((HERE / "options.json").read_text("utf-8"))
