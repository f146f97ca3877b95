"""Models that ship trained: each loads, answers, is described, and has the scores that its description states."""

import json
import subprocess
import sys

import numpy as np
import pytest
from gallery.pretrained import MODELS, description, measured
from typer.testing import CliRunner

import interpolants as itp
from interpolants.cli.app import app
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.pretrained import models_folder, pretrained_models
from interpolants.foundations.storage import README
from interpolants.runs.recipes import recipes

NAMES = sorted(MODELS)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_loads_and_draws_the_same_samples_at_a_seed(name):
    if name == "colours":  # a table
        pytest.importorskip("pandas")
    model = itp.load(f"pretrained:{name}")
    asked = {"n": 4, "seed": 3, "n_steps": 10, **({"cond": [0, 3, 7, 9]} if name == "digits" else {})}
    first, second = model.sample(**asked), itp.load(f"pretrained:{name}").sample(**asked)
    drawn = np.asarray(first)
    np.testing.assert_array_equal(drawn, np.asarray(second))
    assert drawn.dtype == np.float32
    assert drawn.shape == (4, *model.shapes["x1"])
    assert np.isfinite(drawn).all()


@pytest.mark.parametrize(
    "name", [pytest.param("moons"), *(pytest.param(n, marks=pytest.mark.slow) for n in NAMES[:2])]
)
def test_the_stated_scores_hold(name):
    pytest.importorskip("sklearn")
    scores = measured(MODELS[name], itp.load(f"pretrained:{name}"))
    stated = pretrained_models()[name]
    again = description(MODELS[name], scores, stated["bytes"])
    assert {key: value for key, value in again.items() if key != "scores"} == {
        key: value for key, value in stated.items() if key != "scores"
    }
    for found, told in zip(again["scores"], stated["scores"], strict=True):
        assert (found["name"], found["n"]) == (told["name"], told["n"])
        # The same questions on the same rows: other processors differ by rounding, far below a standard error.
        assert found["value"] == pytest.approx(told["value"], abs=0.1 * told["error"])
        for rival, value in told["rivals"].items():
            worse = (value - told["value"]) * (1 if told["better"] == "lower" else -1)
            assert worse > 0, f"{name}: {rival} is better in {told['name']}"
            assert found["rivals"][rival] == pytest.approx(value, abs=0.1 * told["error"])


def test_the_listing_states_licence_data_command_and_scores_of_each():
    with pytest.raises(InvalidInputError) as caught:
        itp.load("pretrained:")
    for name, model in pretrained_models().items():
        for text in (
            f"pretrained:{name}: ",
            model["licence"],
            model["data"],
            model["command"],
            *(s["name"] for s in model["scores"]),
        ):
            assert text in str(caught.value)
    with pytest.raises(InvalidInputError, match="Did you mean 'digits'"):
        itp.load("pretrained:digit")
    with pytest.raises(InvalidInputError, match="must be that of a model that ships trained"):
        itp.load("pretrained:../runs")


def test_folders_descriptions_and_cards_belong_together():
    known = pretrained_models()
    assert (
        sorted(known) == NAMES == sorted(place.name for place in models_folder().iterdir() if place.is_dir())
    )
    assert sum(model["bytes"] for model in known.values()) < 4e6
    for name, model in known.items():
        folder = models_folder() / name
        assert model["bytes"] == sum(file.stat().st_size for file in folder.iterdir())
        assert f"license: {MODELS[name].licence}" in (folder / README).read_text("utf-8")
        assert MODELS[name].recipe in recipes()
    assert "danielbuechele" in known["colours"]["licence"]


def test_a_command_takes_them_in_place_of_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["sample", "pretrained:moons", "-n", "5", "--n-steps", "4", "--json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["x"]["shape"] == [5, 2]
    result = CliRunner().invoke(app, ["sample", "pretrained:moon", "-n", "5"])
    assert result.exit_code == 2
    assert "Did you mean 'moons'" in result.stderr


def test_drawing_digits_imports_nothing_that_takes_long():
    """How long that takes, ``python -m benchmarks first_hour`` says: a test of seconds fails on a busy machine."""
    code = (
        "import sys, torch; before = set(sys.modules); import interpolants as itp; "
        "itp.load('pretrained:digits').sample(16, cond=[3] * 16); print(*sorted(set(sys.modules) - before))"
    )
    imported = {
        m.partition(".")[0] for m in subprocess.check_output([sys.executable, "-c", code], text=True).split()
    }
    assert "interpolants" in imported
    slow = {
        "matplotlib",
        "pandas",
        "scipy",
        "sklearn",
        "typer",
        "starlette",
        "ot",
        "PIL",
        "zuko",
        "diffusers",
    }
    assert not imported & slow
