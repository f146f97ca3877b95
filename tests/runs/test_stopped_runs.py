"""A run that a signal stops is never published: no model, no answers, no report, and the exit code of the signal."""

import signal
from pathlib import Path

import pytest
from torture.children import PUBLISHED, small_run
from typer.testing import CliRunner

from interpolants.cli.app import app
from interpolants.framework.method import Method
from interpolants.runs.recipes import find_recipe
from rings import ABSENT

BRIDGE = small_run(steps=6, checkpoint_every=500)
# A recipe, and the stage in which it is stopped.
ALL = [("bridge", "match"), ("bridge", "leg/match"), ("interpolant_sb", "climb"), ("rectification", ""),
         ("entropic_sb", ""), ("multimarginal", "heads"), ("forecaster", "forecaster"), ("flow_map", "match"),
         ("causal_pinn", "window-1"), ("latent_generator", "likelihood"), ("token_bridge", "tokens"),
         ("restoration", ""), ("self_guided_diffusion", "windows"), ("functional_tucker", "")]  # fmt: skip
CASES = [case for case in ALL if not ABSENT or case[0] == "bridge" or find_recipe(Path(case[0]))]
NUMBERS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture
def stop_in(monkeypatch):
    """Send a signal to this process after the second step of a stage, once."""

    def install(stage, number):
        real, sent = Method.fit_roles, []

        def watch(name, k, steps):
            if not sent and name.startswith(stage) and k >= min(2, steps - 1) and k < steps:
                sent.append(name)
                signal.raise_signal(number)

        def fit_roles(self, values, **options):
            return real(self, values, **{**options, "watch": options.get("watch") or watch})

        monkeypatch.setattr(Method, "fit_roles", fit_roles)
        return sent

    return install


def call(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize(("name", "stage"), CASES)
def test_a_stopped_run_publishes_nothing_and_says_how_to_go_on(tmp_path, stop_in, name, stage):
    (tmp_path / "bridge.toml").write_text(BRIDGE)
    out, number = tmp_path / "run", NUMBERS[len(name + stage) % 2]
    recipe = ["--config", tmp_path / "bridge.toml"] if name == "bridge" else ["--config", name, "--quick"]
    sent = stop_in(stage, number)
    told = call("run", *recipe, "--out", out, "--quiet")
    assert sent, told.output
    assert told.exit_code == 128 + number, told.output
    assert "Resume with: interpolants run --out" in " ".join(told.output.split())
    assert "Traceback" not in told.output
    left = {path.name for path in out.iterdir()}
    assert not left & PUBLISHED, left
    assert not list(out.glob("work/*/model")) or name in ("restoration",)
    assert call("report", out, "--quiet").exit_code == 2
    assert call("check", out).exit_code == 2


@pytest.mark.parametrize("stage", ["match", "leg/match"])
def test_a_stopped_run_goes_on_to_the_numbers_of_an_undisturbed_one(tmp_path, stop_in, monkeypatch, stage):
    from interpolants.cli import recipe_runs

    monkeypatch.setattr(recipe_runs, "_report", lambda *a: None)
    (tmp_path / "bridge.toml").write_text(BRIDGE)
    words = ["run", "--config", tmp_path / "bridge.toml", "--quiet", "--out"]
    assert call(*words, tmp_path / "whole").exit_code == 0
    with monkeypatch.context():
        stop_in(stage, signal.SIGTERM)
        assert call(*words, tmp_path / "cut").exit_code == 143
    assert call("run", "--out", tmp_path / "cut", "--resume", "--quiet").exit_code == 0
    for name in ("gathered", "results"):
        one, two = ((tmp_path / out / name / "tree.json").read_bytes() for out in ("whole", "cut"))
        assert one == two


TWO_QUESTIONS = BRIDGE + '[[ask]]\nquestion = "held_out_likelihood"\nn = 10\n'


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of two questions that nothing stopped."""
    from interpolants.cli import recipe_runs

    folder = tmp_path_factory.mktemp("whole")
    (folder / "bridge.toml").write_text(TWO_QUESTIONS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe_runs, "_report", lambda *a: None)
        words = ["run", "--config", folder / "bridge.toml", "--quiet", "--out", folder / "whole"]
        assert call(*words).exit_code == 0
    return folder / "whole"


@pytest.mark.slow
@pytest.mark.parametrize(("trouble", "code"), [(KeyboardInterrupt, 130), (RuntimeError, 1)])
def test_an_answered_question_is_kept_when_a_later_one_stops(whole, tmp_path, monkeypatch, trouble, code):
    from interpolants.cli import recipe_runs
    from interpolants.framework.questions import Question
    from interpolants.methods.questions.held_out_likelihood import held_out_likelihood
    from interpolants.methods.questions.sample_quality import SampleQuality

    monkeypatch.setattr(recipe_runs, "_report", lambda *a: None)
    (tmp_path / "bridge.toml").write_text(TWO_QUESTIONS)
    words = ["run", "--config", tmp_path / "bridge.toml", "--quiet", "--out"]
    asked: list[Question] = []

    def stop(self, method, task):
        raise trouble

    def count(self, method, task, _real=SampleQuality.measure):
        asked.append(self)
        return _real(self, method, task)

    monkeypatch.setattr(SampleQuality, "measure", count)
    with monkeypatch.context() as patch:
        patch.setattr(held_out_likelihood, "measure", stop)
        told = call(*words, tmp_path / "cut")
        assert told.exit_code == code
        assert ("Resume with: interpolants run --out" in " ".join(told.output.split())) == (code == 130)
    assert call("run", "--out", tmp_path / "cut", "--resume", "--quiet").exit_code == 0
    assert len(asked) == 1
    one, two = ((out / "gathered" / "tree.json").read_bytes() for out in (whole, tmp_path / "cut"))
    assert one == two
    # A changed question is asked anew, the other is not.
    changed = ["--set", "ask.1.n=12", "--resume"]
    assert call(*words, tmp_path / "cut", *changed).exit_code == 0
    assert len(asked) == 1
