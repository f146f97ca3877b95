"""Runs of a model of tokens: a recipe to a stored model, its numbers and its texts, and a command to write more."""

import json

import pytest
import torch
from typer.testing import CliRunner

from interpolants.cli.app import app
from interpolants.foundations.errors import InvalidInputError
from interpolants.methods import TokenBridge
from interpolants.runs import execute, make_config
from interpolants.runs import run as run_module
from interpolants.runs.folder import find_bridge, find_tokens, read_results

DATA = {"x1": {"problem": "random_markov", "n": 120, "length": 8, "vocabulary": 4, "order": 1, "seed": 1}}
METHOD = {
    "kind": "token_bridge",
    "symbols": "abcd",
    "net": {"width": 16, "depth": 1, "attention_heads": 2},
    "steps": 4,
    "batch_size": 8,
}


def config(**change):
    return make_config({"data": DATA, "method": METHOD | change, "evaluate": {"n": 20}}, place="my.toml")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("tokens") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "make_report", lambda folder, say: None)
        execute(config(), out, progress=False, command="typed")
    return out


def test_the_run_stores_numbers_texts_and_the_model(done):
    (task,) = read_results(done)["tasks"]
    found = {metric["id"]: metric for metric in task["metrics"]}
    assert found["nelbo"]["unit"] == "bits per token"
    assert found["calls"]["value"] == 8
    assert task["data"]["x0"]["name"] == "masks"
    assert {len(line) for line in task["texts"]["Held-out data"]} == {8}
    model = TokenBridge.load(find_tokens(done))
    assert model.texts(model.sample(8, seed=1)) == task["texts"]["Samples, the first ones"]


def test_the_report_shows_the_texts_and_nothing_that_only_bridges_have(tmp_path):
    pytest.importorskip("matplotlib")
    text = execute(config(), tmp_path / "out", progress=False, command="typed").report.read_text()
    assert "Samples, the first ones" in text
    assert "No trajectories were stored" not in text


def test_text_is_written_and_filled_in_from_the_command_line(done):
    def call(*words, code=0):
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exit_code == code, result.output
        return result

    lines = call("text", done, "-n", 3, "--length", 11).stdout.splitlines()
    assert [len(line) for line in lines] == [11] * 3
    assert set("".join(lines)) <= set("abcd")
    filled = json.loads(call("text", done, "-n", 2, "--prompt", "ab__d", "--steps", 1, "--json").stdout)
    assert all(line.startswith("ab") and line[4] == "d" for line in filled)
    begun = call("text", done, "-n", 2, "--prompt", "abc").stdout.splitlines()
    assert [(line[:3], len(line)) for line in begun] == [("abc", 8)] * 2
    assert "characters must be among 'abcd', got x" in call("text", done, "--prompt", "ax", code=2).output
    assert "interpolants text" in call("sample", done, "--out", done / "s.npz", code=2).output


def test_a_bridge_is_no_model_of_tokens_and_an_unfinished_one_is_none(done, tmp_path):
    with pytest.raises(
        InvalidInputError, match=r"the task must train a bridge, got .* with the method 'token_bridge'"
    ):
        find_bridge(done)
    with pytest.raises(InvalidInputError, match="must be one of a run"):
        find_tokens(tmp_path)
    (tmp_path / "config.json").write_text((done / "config.json").read_text())
    with pytest.raises(InvalidInputError, match=r"a model of tokens must be trained, got .*unfinished"):
        find_tokens(tmp_path)


@pytest.mark.parametrize("kind", ["latent_generator", "forecaster", "light_sb"])
@pytest.mark.parametrize("begun", [False, True])
def test_a_run_of_another_method_is_said_to_hold_neither(kind, begun, tmp_path):
    """Whether it is trained or not, and whether it keeps a model or none."""
    points = {"problem": "moons", "n": 300}
    data = {"x1": points} if kind == "latent_generator" else {"x0": points, "x1": points}
    settings = make_config({"data": data, "method": {"kind": kind}}, place="my.toml")
    (tmp_path / "config.json").write_text(json.dumps(settings.dump()))
    if begun:
        (tmp_path / "main" / "model").mkdir(parents=True)
    for find, what in ((find_tokens, "a model of tokens"), (find_bridge, "a bridge")):
        with pytest.raises(
            InvalidInputError, match=f"must train {what}, got .*main with the method '{kind}'"
        ):
            find(tmp_path)


def test_a_method_with_a_base_of_its_own_refuses_another(tmp_path):
    both = make_config({"data": {**DATA, "x0": DATA["x1"]}, "method": METHOD}, place="my.toml")
    with pytest.raises(
        InvalidInputError, match=r"'token_bridge' starts from masks of its own, so data\.x0 must"
    ):
        execute(both, tmp_path / "out", progress=False)


def test_an_interrupted_training_is_said_to_be_one_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "make_report", lambda folder, say: None)
    fit = TokenBridge.fit_roles

    def stop(stage, k, steps):
        if k == 2:
            raise KeyboardInterrupt

    settings = config(checkpoint_every=1)
    monkeypatch.setattr(
        TokenBridge, "fit_roles", lambda self, values, **options: fit(self, values, **options, watch=stop)
    )
    with pytest.raises(run_module.InterruptedRunError, match="--resume"):
        execute(settings, tmp_path / "out", progress=False)
    monkeypatch.setattr(TokenBridge, "fit_roles", fit)
    execute(settings, tmp_path / "out", progress=False, resume=True)
    again = TokenBridge.load(find_tokens(tmp_path / "out"))
    assert again.history[-1]["step"] == 4
    assert torch.is_tensor(again.sample(2))
