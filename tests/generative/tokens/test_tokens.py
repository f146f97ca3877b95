"""Runs of a model of tokens: a recipe to a stored model, its numbers and its texts, and commands to write more."""

import json

import pytest
import torch
from typer.testing import CliRunner

import interpolants
from interpolants.cli.app import app
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.stages import InterruptedFitError
from interpolants.generative.tokens.token_bridge import TokenBridge
from interpolants.runs.recipe import make_recipe
from interpolants.runs.recipe_files import RecipeFolder, read_recipe
from interpolants.runs.values import Place, read_value


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("tokens") / "out"
    found = RecipeFolder(out, read_recipe("token_bridge", ("method.steps=4",), quick=True)).run()
    return out, found


def call(*words, code=0):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


def test_the_run_stores_numbers_texts_and_the_model(done):
    out, found = done
    names = {score.name.rpartition(".")[2]: score for score in found.scores}
    assert names["nelbo"].unit == "bits per token"
    assert set(names["nelbo"].rivals) == {"token_frequencies"}
    (texts,) = (lines for heading, lines in found.texts.items() if heading.endswith("Held-out data"))
    assert {len(line) for line in texts} == {12}
    assert set("".join(texts)) <= set("abcd")
    model = interpolants.load(out)
    assert isinstance(model, TokenBridge)
    assert model.sample(5, seed=1).shape == (5, 12)


def test_text_is_written_and_filled_in_from_the_command_line(done):
    out, _ = done
    drawn = json.loads(call("sample", out, "-n", 3, "--length", 11, "--json").stdout)
    assert drawn == {"out": None, "x": {"shape": [3, 11], "values": drawn["x"]["values"]}}
    filled = json.loads(call("complete", out, "ab__d", "-n", 2, "--steps", 1, "--json").stdout)["texts"]
    assert all(line.startswith("ab") and line[4] == "d" for line in filled)
    begun = call("complete", out, "abc", "-n", 2, "--length", 12).stdout.splitlines()
    assert [(line[:3], len(line)) for line in begun] == [("abc", 12)] * 2
    assert "characters must be among 'abcd', got x" in call("complete", out, "ax", code=2).output


def test_verbs_take_a_text_or_a_file_of_texts_and_write_one(done, tmp_path):
    out, _ = done
    line = call("complete", out, "ab__d").stdout.strip()
    assert (line[:2], line[4:], len(line)) == ("ab", "d", 5)
    (tmp_path / "prompts.txt").write_text("ab__\n__cd\n")
    call("complete", out, tmp_path / "prompts.txt", "--out", tmp_path / "filled.txt")
    filled = (tmp_path / "filled.txt").read_text().splitlines()
    assert (filled[0][:2], filled[1][2:]) == ("ab", "cd")


def test_lines_of_a_file_are_texts(tmp_path):
    (tmp_path / "lines.txt").write_text("abc\ncab\n")
    assert read_value("tokens", str(tmp_path / "lines.txt"), Place()).value == ["abc", "cab"]
    with pytest.raises(InvalidInputError, match=r"data\.tokens: the file must be a text"):
        read_value("tokens", str(tmp_path / "none.txt"), Place())


def test_another_method_is_no_model_of_tokens(tmp_path):
    data = {"now": {"problem": "rotating_mixture", "n": 40}, "later": {"follows": "now"}}
    RecipeFolder(
        tmp_path / "run", make_recipe({"data": data, "method": {"kind": "persistence"}, "ask": []})
    ).run()
    assert "must have this capability" in call("complete", tmp_path / "run", "a_", code=2).output


def test_an_interrupted_run_goes_on_to_the_same_bits(done, tmp_path, monkeypatch):
    out, _ = done
    recipe = read_recipe("token_bridge", ("method.steps=4", "method.checkpoint_every=1"), quick=True)
    fit = TokenBridge.fit_roles

    def stop(stage, k, steps):
        if k == 2:
            raise InterruptedFitError("stopped", 2)

    monkeypatch.setattr(
        TokenBridge,
        "fit_roles",
        lambda self, values, **options: fit(self, values, **options | {"watch": stop}),
    )
    with pytest.raises(KeyboardInterrupt):
        RecipeFolder(tmp_path / "out", recipe).run()
    monkeypatch.setattr(TokenBridge, "fit_roles", fit)
    RecipeFolder(tmp_path / "out", recipe).run()
    samples = [interpolants.load(folder).sample(4) for folder in (out, tmp_path / "out")]
    assert torch.equal(*samples)
