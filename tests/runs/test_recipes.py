"""Runs of recipes: models that stay, answers that resume, settings that are kept."""

import json
import tomllib
from pathlib import Path

import pytest
import torch

import interpolants
from interpolants.foundations.errors import InvalidInputError
from interpolants.runs.models import find_model
from interpolants.runs.recipe import make_recipe
from interpolants.runs.recipe_files import RecipeFolder, changed_recipe, read_recipe

TEXT = """
title = "Two Gaussians"
[data.x1]
problem = "moons"
n = 200
[method]
kind = "gaussian_fit"
[[ask]]
question = "sample_quality"
n = 40
rivals = [{ twin = { ridge = 5.0 } }]
[[claim]]
says = "sample_quality.energy_distance < twin"
role = "twin"
[quick]
data.x1.n = 50
"""


def tables():
    return tomllib.loads(TEXT)


def files(folder: Path) -> dict[str, bytes]:
    kept = ("results", "gathered")
    return {
        str(f.relative_to(folder)): f.read_bytes()
        for name in kept
        for f in sorted((folder / name).rglob("*"))
        if f.is_file()
    }


def test_a_run_leaves_a_model_scores_and_verdicts(tmp_path):
    folder = RecipeFolder(tmp_path / "run", changed_recipe(tables(), ["budget=ci", "seeds=1"]))
    found = folder.run()
    assert found["sample_quality.energy_distance"].rivals.keys() == {"twin"}
    assert found.verdicts[0].outcome in ("holds", "undecided")
    model = interpolants.load(tmp_path / "run")
    assert model.sample(3, seed=0).shape == (3, 2)


def test_a_single_test_row_is_refused_before_the_fit(tmp_path):
    few = changed_recipe(tables(), ["budget=ci", "seeds=1", "data.x1.n=4"])
    with pytest.raises(InvalidInputError, match=r"split of x1: scores need at least 2 test rows, got 1 of 4"):
        RecipeFolder(tmp_path / "few", few).run()
    assert not list((tmp_path / "few").rglob("model"))
    half = changed_recipe(
        tables(), ["budget=ci", "seeds=1", "data.x1.n=4", "split.test=0.5", "ask=[]", "claim=[]"]
    )
    assert RecipeFolder(tmp_path / "half", half).run() is not None


def test_seeds_are_cells_and_the_same_bytes_come_out_interrupted_or_not(tmp_path, monkeypatch):
    recipe = changed_recipe({**tables(), "seeds": 2})
    whole = RecipeFolder(tmp_path / "whole", recipe)
    whole.run()
    assert find_model(tmp_path / "whole", seed=1) != find_model(tmp_path / "whole", seed=0)
    from interpolants.runs import recipe_run

    real, calls = recipe_run.RecipeRun.run, []

    def dies(self, cell, folder):
        calls.append(cell["seed"])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, cell, folder)

    monkeypatch.setattr(recipe_run.RecipeRun, "run", dies)
    parted = RecipeFolder(tmp_path / "parted", recipe)
    with pytest.raises(KeyboardInterrupt):
        parted.run()
    parted.run(resume=True)
    assert calls == [0, 1, 1]
    assert files(tmp_path / "parted") == files(tmp_path / "whole")


def test_questions_may_change_and_what_was_learnt_may_not(tmp_path):
    RecipeFolder(tmp_path / "run", changed_recipe(tables())).run()
    with pytest.raises(InvalidInputError, match="finished run"):
        RecipeFolder(tmp_path / "run", changed_recipe(tables())).run()
    other = RecipeFolder(tmp_path / "run", changed_recipe(tables(), ["tasks.0.ask.0.n=20"]))
    assert other.run(resume=True)["sample_quality.sliced_w2"].n == 20
    with pytest.raises(InvalidInputError, match=r"method\.ridge None -> 2"):
        RecipeFolder(tmp_path / "run", changed_recipe(tables(), ["method.ridge=2"])).run(resume=True)


def test_quick_lays_its_table_over_the_others_and_judges_no_claim(tmp_path):
    found = RecipeFolder(tmp_path / "run", changed_recipe(tables(), quick=True)).run()
    assert found.verdicts[0].outcome == "not asked"
    stored = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert stored["tasks"][0]["data"]["x1"]["n"] == 50


def test_quick_needs_a_table_named_after_a_task():
    plain = {name: table for name, table in tables().items() if name != "quick"}
    with pytest.raises(InvalidInputError, match=r"--quick needs a recipe with a \[quick\] table, got none"):
        changed_recipe(plain, quick=True)
    with pytest.raises(InvalidInputError, match=r"--quick needs"):
        make_recipe(plain, quick=True)
    parts = {name: plain.pop(name) for name in ("data", "method", "ask", "claim", "split") if name in plain}
    several = {**plain, "tasks": [{"name": "first", **parts}], "quick": {"frist": {"method": {}}}}
    with pytest.raises(InvalidInputError, match="Did you mean 'first'"):
        changed_recipe(several, quick=True)


ABOUT = {
    "method": {"kind": "bridge", "path": "one_sided_linear"},
    "ask": [{"question": "held_out_likelihood", "rivals": ["gaussian_fit"]}],
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"methods": {}}, "Did you mean 'method'"),
        ({"method": {"kind": "gausian_fit"}}, "Did you mean 'gaussian_fit'"),
        ({"method": {"kind": "gaussian_fit", "rigde": 1}}, "Did you mean 'ridge'"),
        ({"method": {}}, "must have a kind"),
        ({"data": {"x2": {"problem": "moons"}}}, "Did you mean 'x1'"),
        ({"data": {"x1": {"problm": "moons"}}}, "Did you mean 'problem'"),
        ({"data": {"x1": {"file": "no.csv"}}}, "no.csv"),
        ({"ask": [{"question": "sample_qality"}]}, "Did you mean 'sample_quality'"),
        ({"ask": [{"question": "sample_quality", "nn": 1}]}, "Did you mean 'n'"),
        ({"claim": [{"says": "nonsense"}]}, "must read"),
        (
            ABOUT | {"claim": [{"says": "held_out_likelihood.log_prob > 0.5", "role": "number"}]},
            "log_likelihood_per",
        ),
        (ABOUT | {"claim": [{"says": "held_out_likelihood.log_likelihood > ridge"}]}, "Known: gaussian_fit"),
        ({"split": {"tst": 0.1}}, "Did you mean 'test'"),
        ({"tasks": [{"method": {"kind": "gaussian_fit"}}]}, "must not stand beside 'tasks'"),
    ],
)
def test_what_is_wrong_in_a_recipe_is_named_with_the_nearest(change, words, tmp_path):
    with pytest.raises(InvalidInputError, match=words):
        RecipeFolder(
            tmp_path / "run", make_recipe({**{k: v for k, v in tables().items() if k != "quick"}, **change})
        ).run()


def test_a_recipe_is_found_by_name_and_its_quick_size_leaves_a_model(tmp_path):
    recipe = read_recipe("flow_map", quick=True)
    RecipeFolder(tmp_path / "run", recipe).run()
    first, again = (interpolants.load(tmp_path / "run").sample(4, seed=2) for _ in range(2))
    assert torch.equal(first, again)


@pytest.mark.slow
def test_training_alone_leaves_the_model_that_a_run_then_asks(tmp_path):
    folder = RecipeFolder(tmp_path / "run", changed_recipe(tables()))
    (model,) = folder.train()
    before = (model / "MANIFEST.json").read_bytes()
    assert not (tmp_path / "run" / "gathered").exists()
    folder.run(resume=True)
    assert (model / "MANIFEST.json").read_bytes() == before
