"""Commands that are shown of a stored method are commands that run."""

import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from interpolants.cli.app import app
from interpolants.framework.capabilities import capabilities_of
from interpolants.methods import Bridge, FlowMap, Forecaster
from interpolants.runs.commands import about_verb, address, command
from interpolants.runs.recipe import cell_name, make_recipe

FEW = {"net": {"kind": "mlp", "width": 8, "depth": 1}, "steps": 2, "batch_size": 16, "seed": 0}
METHODS = {
    "bridge": lambda: Bridge("one_sided_linear", **FEW).fit(x1=rows(), progress=False),
    "flow_map": lambda: FlowMap(path="one_sided_linear", **FEW).fit(x1=rows()),
    "forecaster": lambda: Forecaster(**FEW).fit(rows(0), rows(1)),
}


def rows(seed=0):
    return torch.randn(60, 2, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", METHODS)
def test_every_command_runs_as_it_is_shown(name, tmp_path, monkeypatch):
    method = METHODS[name]()
    method.save(tmp_path / "a model")
    monkeypatch.chdir(tmp_path)
    for verb in capabilities_of(type(method)):
        if not method.can(verb):
            continue
        shown = command(method, verb, shlex.quote("a model")).replace("VALUE", "0.5")
        words = shlex.split(shown)
        for word in words:
            if word.endswith(".csv"):
                np.savetxt(word, rows().numpy(), delimiter=",")
        found = CliRunner().invoke(app, words[1:], catch_exceptions=False)
        assert found.exit_code == 0 or verb == "check", (shown, found.output)
        assert about_verb(method, verb)


def recipe(*names, seeds=1):
    one = {
        "data": {"x1": {"problem": "moons", "n": 10}},
        "method": {"kind": "bridge", "path": "one_sided_linear"},
    }
    return make_recipe({"seeds": seeds, "tasks": [{"name": name, **one} for name in names]})


@pytest.mark.parametrize(
    ("made", "cell", "words"),
    [
        (recipe("main"), "main", "runs/a"),
        (recipe("near", "far"), "far", "runs/a --task far"),
        (
            recipe("main", seeds=2),
            "main_seed1",
            str(Path("runs", "a", "work", cell_name("main", 1, 2), "model")),
        ),
    ],
)
def test_the_address_names_the_task_or_the_folder_of_the_seed(made, cell, words):
    assert address(made, Path("runs/a"), cell) == words


def test_an_address_with_a_space_is_quoted():
    assert address(recipe("main"), Path("my runs/a"), "main") == "'my runs/a'"
