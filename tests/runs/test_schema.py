"""The schema of recipes: every recipe of the library passes, spoilt ones are marked."""

import copy
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from interpolants.cli.app import app
from interpolants.runs.recipes import recipes
from interpolants.runs.schema import recipe_schema


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    found = recipe_schema()
    Draft202012Validator.check_schema(found)
    return Draft202012Validator(found)


def faults(schema: Draft202012Validator, tables: Any) -> list[str]:
    return [f"{'.'.join(map(str, e.absolute_path))}: {e.message}" for e in schema.iter_errors(tables)]


def test_every_recipe_passes(schema: Draft202012Validator) -> None:
    wrong = {
        name: found
        for name, file in recipes().items()
        if (found := faults(schema, tomllib.loads(file.read_text("utf-8"))))
    }
    assert not wrong


GOOD = {
    "data": {"x1": {"problem": "moons"}},
    "split": {"test": 0.2},
    "method": {"kind": "bridge", "steps": 20, "standardize": True},
    "ask": [{"question": "sample_quality", "rivals": ["gaussian_fit"]}],
    "claim": [{"says": "sample_quality.energy_distance < gaussian_fit"}],
}
SPOILT = {
    "an unknown table": ("metod", {}),
    "a method that there is not": ("method.kind", "bridg"),
    "a misspelt setting": ("method.stepz", 20),
    "a number that is too small": ("method.steps", 0),
    "a number in quotation marks": ("method.lr", "0.1"),
    "a word that there is not": ("method.optimizer", "adamm"),
    "two for a pair": ("method.betas", [0.9]),
    "a truth value as a word": ("method.compile", "False"),
    "a question that there is not": ("ask.0.question", "sample_qualty"),
    "a setting of a question": ("ask.0.seeed", 1),
    "a key of a claim": ("claim.0.say", "x"),
    "a split": ("split.tset", 0.2),
    "a budget": ("budget", "cii"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_what_is_spoilt_is_marked(schema: Draft202012Validator, what: str) -> None:
    where, value = SPOILT[what]
    assert not faults(schema, GOOD)
    tables: Any = copy.deepcopy(GOOD)
    *path, last = where.split(".")
    place = tables
    for part in path:
        place = place[int(part) if part.isdigit() else part]
    place[last] = value
    assert faults(schema, tables)


def test_settings_have_their_sentences(schema: Draft202012Validator) -> None:
    methods = schema.schema["$defs"]["method"]["allOf"]  # type: ignore[index]
    (bridge,) = [one["then"] for one in methods if one["if"]["properties"]["kind"]["const"] == "bridge"]
    assert bridge["properties"]["steps"]["description"].startswith("Training steps")
    assert bridge["properties"]["steps"]["default"] == 2000
    assert bridge["properties"]["coupling"]["description"]


def test_the_command_writes_it(tmp_path: Path) -> None:
    file = tmp_path / "a.schema.json"
    done = CliRunner().invoke(app, ["schema", "--out", str(file)])
    assert done.exit_code == 0, done.output
    assert json.loads(file.read_text("utf-8")) == recipe_schema()
    assert "#:schema ./a.schema.json" in done.stderr
