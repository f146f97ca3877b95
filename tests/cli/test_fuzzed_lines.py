"""Odd settings and odd options end in an answer or in one line that says what is wrong: never in a traceback."""

import pytest
from hypothesis import HealthCheck, given, settings
from torture.command_lines import TooLongError, call, clear, make_files
from torture.fuzzed_lines import lines, overrides

from interpolants.cli import recipe_runs
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.registry import build
from thirds import WHOLE
from torture import command_lines


def fuzz(examples):
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(recipe_runs, "_report", lambda *a, **k: None)
        make_files(folder)
        yield folder


def settings_end_in_words(files, examples):
    @fuzz(examples)
    @given(overrides())
    def check(change):
        clear(files)
        call("run", "--config", "base.toml", "--out", "new", "--quiet", "--set", change)

    check()


def lines_end_in_words(files, examples):
    @fuzz(examples)
    @given(lines())
    def check(words):
        clear(files)
        call(*words)

    check()


def test_a_line_that_does_not_end_is_stopped_and_named(monkeypatch):
    def endless(*_):
        while True:
            pass

    monkeypatch.setattr(command_lines, "LONGEST", 0.2)
    monkeypatch.setattr(command_lines.CliRunner, "invoke", endless)
    with pytest.raises(TooLongError, match=r"not done after 0\.2 s: run --set x=1"):
        call("run", "--set", "x=1")


def test_odd_settings_end_in_words(files):
    settings_end_in_words(files, 50)


def test_odd_command_lines_end_in_words(files):
    lines_end_in_words(files, 50)


@pytest.mark.slow
def test_many_odd_settings_and_lines_end_in_words(files):
    many = 500 if WHOLE else 150
    settings_end_in_words(files, many)
    lines_end_in_words(files, many)


ONCE_A_TRACEBACK = [
    "data.x1.n='../a.npy'", "data.x1.n=0.5", "data.x1={problem='subspace_gaussian', loading=['a']}",
    "data.x1={problem='token_table', table={kind='linear'}}", "method.path={kind='one_sided_linear', base=0}",
    "method.path={kind='one_sided_trigonometric', base=[{}]}", "method.net=0", "method.net={kind='mlp', shape=[]}",
    "ask.0={question='label_accuracy', role='x'}", "ask.0={question='sample_quality', role={a=1}}",
    "ask.0={question='copied_rows', role=1e308}", "ask.0={question='token_quality', role=0}", "ask.0.rivals=0.5",
    "ask.0={question='trajectories', options=[[1]]}", "ask.0={question='trajectories', sde='x'}",
    "ask.0={question='sample_quality', seed=[1,2]}", "ask.0={question='self_test', n=-1}",
    "ask.0={question='self_test', seed=''}", "ask.0.options={kind='linear'}", "ask.0.rivals=[{}]",
    "method.path.envelope.scale=0.5", "method.times.kind={a=1}", "ask.0={question='sample_quality', shown='x'}",
    "tasks=true", "tasks=[]", "tasks=-0.5", "ask.0={question='noise_levels', distances={}}",
    "ask.0={question='sample_quality', distances=[]}", "data.x1={problem='pinwheel', twist='a.npy'}",
    "data.x1={problem='rings', count=[[1]]}", "data.x1={problem='rings', count=1e308}",
    "method.path={kind='sub_vp', base={kind='linear'}}", "method.path={kind='vp', base={kind='linear'}}",
    "data.x1={problem='pinwheel', arms=2.5}", "ask.0={question='synthetic_windows', ridge=0}",
]  # fmt: skip


@pytest.mark.parametrize("change", ONCE_A_TRACEBACK)
def test_what_once_ended_in_a_traceback_is_refused(files, change):
    clear(files)
    result = call("run", "--config", "base.toml", "--out", "new", "--quiet", "--set", change)
    assert result.exit_code == 2, result.output
    assert "error: " in result.output
    assert not (files / "new").exists() or list((files / "new").glob("work/*/model"))


@pytest.mark.parametrize(
    ("kind", "name", "given", "rule"),
    [
        ("path", "one_sided_linear", {"base": 0}, "base must be a table with its kind"),
        ("question", "sample_quality", {"role": 3}, "role must be a word"),
        ("question", "trajectories", {"options": "x"}, "options must be a table"),
        ("problem", "subspace_gaussian", {"loading": ["a"]}, "settings must fit its signature"),
    ],
)
def test_settings_of_a_wrong_type_are_named(kind, name, given, rule):
    with pytest.raises(InvalidInputError, match=rule):
        build(kind, name, **given)
