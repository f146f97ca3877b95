"""Commands: answers, exit codes, errors without tracebacks, and nothing overwritten."""

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import interpolants
from interpolants.cli import recipe_runs
from interpolants.cli.app import app
from interpolants.executors import local
from interpolants.runs.recipe import cell_name

COMMANDS = [
    "run",
    "train",
    "sweep",
    "report",
    "explore",
    "serve",
    "export",
    "fit-solver",
    "follow",
    "compare",
    "find",
    "methods",
    "recipes",
    "schema",
    "problems",
    "doctor",
]
SMALL = ["method.batch_size=32", "method.net.kind=mlp", "method.net.width=16", "method.net.depth=2",
         'ask=[{question="noise_levels", eps=[0, 0.5], options={n_steps=4}, rivals=["gaussian_fit"]}]']  # fmt: skip
# The folder of the only fit of a recipe.
CELL = cell_name("main", 0, 1)
LEG = ["--set", "method.leg.steps=2"]
# What each mistake is answered with, word for word: a message is part of the interface.
MESSAGES = json.loads(Path(__file__).with_name("messages.json").read_text("utf-8"))
SETS = [word for text in SMALL for word in ("--set", text)]


def call(*words, code=0):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    if result.exception is not None:
        assert isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two files by the command itself, without its report."""
    folder = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(0)
    np.save(folder / "a.npy", rng.normal(size=(80, 2)).astype(np.float32))
    np.savetxt(folder / "b.csv", rng.normal(size=(80, 2)) + 3, delimiter=",", header="u,v", comments="")
    np.save(folder / "labels.npy", np.arange(80) % 3)
    np.save(folder / "short.npy", np.arange(3))
    (folder / "empty.csv").touch()
    (folder / "words.csv").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(recipe_runs, "_report", lambda *a, **k: None)
        call("run", "--x0", "a.npy", "--x1", "b.csv", "--out", "runs/mine", "--steps", 5, *SETS, *LEG)
        call(
            "run", "--x1", "b.csv", "--cond", "labels.npy", "--out", "runs/labels", "--steps", 5, *SETS, "-q"
        )
    return folder


@pytest.fixture
def place(trained, monkeypatch):
    monkeypatch.chdir(trained)
    monkeypatch.setattr(recipe_runs, "_report", lambda *a, **k: None)
    (trained / "mine.toml").touch()  # the nearest to a misspelt one
    return trained


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command):
    assert f"interpolants {command}" in call(command, "--help").stdout


def test_the_public_commands_are_these():
    assert [info.name or info.callback.__name__ for info in app.registered_commands] == COMMANDS
    assert call("--version").stdout.strip() == interpolants.__version__


def test_every_verb_of_a_method_is_a_command_in_the_list():
    listed = call("--help").stdout
    for verb in ("sample", "transport", "log-prob", "forecast", "restore", "complete"):
        assert f" {verb} " in listed


def test_files_become_a_run_folder_with_what_was_asked_for(place):
    recipe = json.loads((place / "runs/mine/recipe.json").read_text())
    task = recipe["tasks"][0]
    assert task["data"] == {"x0": "a.npy", "x1": "b.csv"}
    assert task["method"]["steps"] == 5
    assert interpolants.load("runs/mine").shape == (2,)
    told = json.loads(call("run", "--out", "runs/mine", "--resume", "--json").stdout)
    assert {"noise_levels.sliced_w2_ode", "noise_levels.energy_distance_ode"} <= told["scores"].keys()


def test_samples_do_not_depend_on_the_batch_and_are_not_overwritten(place):
    words = ("sample", "runs/mine", "-n", 70, "--eps", 0.5, "--seed", 1, "--n-steps", 4)
    first = call(*words, "--out", "one.npz")
    assert "next: interpolants log-prob runs/mine one.npz" in first.stderr
    call(*words, "--out", "two.npz", "--batch-size", 7, "--quiet")
    with np.load("one.npz") as one, np.load("two.npz") as two:
        assert one["x"].shape == (70, 2)
        assert np.array_equal(one["x"], two["x"])
    bridge = interpolants.load("runs/mine")
    with np.load("one.npz") as one:
        assert np.array_equal(one["x"], np.asarray(bridge.sample(70, eps=0.5, seed=1, n_steps=4)))
    before = (place / "one.npz").read_bytes()
    refused = call(*words, "--out", "one.npz", code=2)
    assert "the file to write must not exist" in refused.stderr
    assert (place / "one.npz").read_bytes() == before
    call(*words, "--out", "one.npz", "--force")
    call("sample", "runs/mine", "-n", 10, "--reverse", "--n-steps", 4, "--out", "back.csv")
    assert np.genfromtxt("back.csv", delimiter=",", names=True).dtype.names == ("u", "v")


def test_the_same_command_twice_draws_the_same_rows(place):
    for name in ("once.npy", "twice.npy"):
        call("sample", "runs/mine", "-n", 5, "--n-steps", 3, "--out", name, "-q")
    assert np.array_equal(np.load("once.npy"), np.load("twice.npy"))


@pytest.mark.filterwarnings("ignore::interpolants.foundations.tell.OutsideWarning")
def test_what_json_has_no_words_for_is_null(place):
    np.save("far.npy", np.full((1, 2), 1e30, dtype=np.float32))
    told = call("log-prob", "runs/labels", "far.npy", "--cond", 1, "--json", "--on-failure", "keep").stdout
    assert json.loads(told, parse_constant=lambda name: pytest.fail(name))["log_prob"]["values"] == [None]


def test_a_choice_of_task_is_not_passed_over(place):
    model = str(Path("runs", "mine", "work", CELL, "model"))
    refused = call("sample", model, "--task", "other", "-n", 2, "--out", "no.npz", code=2)
    said = " ".join(refused.stderr.split())
    assert f"--task: {model} must be a run to have tasks, got 'other'. Leave it out." in said


def test_the_next_command_can_be_typed(place):
    kept = call("sample", "runs/labels", "-n", 5, "--label", 1, "--n-steps", 3, "--out", "hinted.npz").stderr
    words = " ".join(kept.split()).partition("next: interpolants ")[2].split()
    assert words == ["log-prob", "runs/labels", "hinted.npz", "--cond", "1"]
    call(*words, "--method", "heun")


def test_recipes_that_are_no_text(place):
    (place / "recipes").mkdir()
    (place / "recipes" / "odd.toml").write_bytes(b"# \xe9t\xe9\n")
    assert "odd" in call("recipes").stdout
    assert call("recipes", "odd").stdout.startswith("# ")
    (place / "recipes" / "odd.toml").unlink()
    (place / "recipes").rmdir()


def test_labels_can_be_asked_for(place):
    call("sample", "runs/labels", "-n", 5, "--label", 2, "--n-steps", 4, "--out", "twos.npy")
    wanted = interpolants.load("runs/labels").sample(5, cond=2, n_steps=4, seed=0)
    assert np.array_equal(np.load("twos.npy"), np.asarray(wanted))
    refused = call("sample", "runs/labels", "-n", 5, "--cond", "nope.npy", "--out", "no.npz", code=2)
    assert "--cond: the file must exist" in " ".join(refused.stderr.split())
    refused = call("sample", "runs/mine", "-n", 5, "--label", 2, "--out", "no.npz", code=2)
    assert "No such option: --label" in refused.stderr
    assert not (place / "no.npz").exists()


def test_log_densities_of_a_file(place):
    done = call("log-prob", "runs/labels", "b.csv", "--cond", "labels.npy", "--out", "lp.csv", "--json")
    answer = json.loads(done.stdout)["log_prob"]
    values = np.genfromtxt("lp.csv", delimiter=",", names=True)["log_prob"]
    assert values.shape == (80,)
    assert answer["mean"] == pytest.approx(values.mean(), rel=1e-5)
    assert answer["error"] == pytest.approx(values.std(ddof=1) / 80**0.5, rel=1e-5)


def test_columns_of_files_are_known_by_name(place):
    lines = [line.split(",") for line in (place / "b.csv").read_text().splitlines()]
    (place / "turned.csv").write_text("\n".join(",".join(cells[::-1]) for cells in lines) + "\n")
    how = ("--cond", "labels.npy", "--method", "heun", "--n-steps", 3, "-q", "--force", "--out")
    call("log-prob", "runs/labels", "b.csv", *how, "straight.npy")
    call("log-prob", "runs/labels", "turned.csv", *how, "turned.npy")
    assert np.array_equal(np.load("straight.npy"), np.load("turned.npy"))
    call("sample", "runs/labels", "-n", 3, "--cond", 1, "--n-steps", 2, "--out", "named.csv")
    assert (place / "named.csv").read_text().startswith("u,v\n")
    (place / "turned.csv").write_text("u,w\n1.0,2.0\n")
    refused = call("log-prob", "runs/labels", "turned.csv", "--cond", 1, code=2)
    assert "'v'" in " ".join(refused.stderr.split())


def test_options_that_a_function_passes_on_are_options_too(place):
    told = call("log-prob", "runs/labels", "b.csv", "--label", 1, "--divergence", "hutchinson", "--probes", 2,
                "--method", "heun", "--n-steps", 3)  # fmt: skip
    assert "mean" in told.stdout


def test_rows_of_a_file_are_given_the_shape_of_the_fit_back(place):
    images = np.random.default_rng(0).normal(size=(60, 1, 2, 2)).astype(np.float32)
    np.save("images.npy", images)
    np.save("flat.npy", images.reshape(60, 4))
    words = ("--steps", 2, *SETS, "--set", "method.net.kind=mlp")
    call("train", "--x1", "images.npy", "--out", "runs/images", *words, "-q")
    how = ("--method", "heun", "--n-steps", 2, "-q", "--out")
    call("log-prob", "runs/images", "images.npy", *how, "whole.npy")
    call("log-prob", "runs/images", "flat.npy", *how, "flat_lp.npy")
    assert np.array_equal(np.load("whole.npy"), np.load("flat_lp.npy"))


@pytest.mark.slow
def test_check_reports_verdicts_and_fails_where_one_fails(place):
    result = CliRunner().invoke(app, ["check", "runs/mine", "--json"])
    told = json.loads(result.stdout)
    verdicts = [row["verdict"] for row in told["checks"]]
    assert set(verdicts) <= {"pass", "warn", "fail"}
    assert told["ok"] == ("fail" not in verdicts)
    assert result.exit_code == int("fail" in verdicts)


def test_training_and_judging_can_be_two_commands(place):
    done = call("train", "--x1", "b.csv", "--out", "runs/split", "--steps", 3, *SETS, "--quiet")
    assert done.stdout == done.stderr == ""
    told = call("train", "--resume", "runs/split", "--json").stdout
    assert json.loads(told) == {
        "out": "runs/split",
        "models": [str(Path("runs", "split", "work", CELL, "model"))],
    }
    assert interpolants.load("runs/split").shape == (2,)
    assert not (place / "runs/split/gathered").exists()
    call("train", "--resume", "runs/split", "--quiet")
    result = call("run", "--out", "runs/split", "--resume", "--json")
    assert json.loads(result.stdout)["scores"]
    other = 'ask=[{question="sample_quality", options={n_steps=4}}]'
    again = call("run", "--out", "runs/split", "--resume", "--json", "--set", other)
    assert set(json.loads(again.stdout)["scores"]) == {
        "sample_quality.sliced_w2",
        "sample_quality.energy_distance",
    }


class PickledPool:
    """Stands for a pool of processes: calls and answers are pickled as on the way to them and back."""

    sent = 0

    def __init__(self, workers, **_):
        assert workers == 2

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def submit(self, *task):
        PickledPool.sent += 1
        (call, *arguments), future = pickle.loads(pickle.dumps(task)), Future()
        future.set_result(pickle.loads(pickle.dumps(call(*arguments))))
        return future


@pytest.mark.parametrize("processes", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_samples_from_two_processes_are_those_of_one(place, monkeypatch, processes):
    """To start processes takes ten seconds; that they give the answers of a loop is a test of executors."""
    if not processes:
        monkeypatch.setattr(local, "ProcessPoolExecutor", PickledPool)
        monkeypatch.setattr(PickledPool, "sent", 0)
    words = ("sample", "runs/labels", "-n", 150, "--label", 1, "--eps", 0.5, "--seed", 1, "--n-steps", 4)
    told = call(*words, "--out", "alone.npz", "--json", "--force")
    assert json.loads(told.stdout) == {"out": "alone.npz", "x": {"shape": [150, 2]}}
    call(*words, "--out", "shared.npz", "--nproc", 2, "--force")
    assert processes or PickledPool.sent == 2
    with np.load("alone.npz") as one, np.load("shared.npz") as two:
        assert np.array_equal(one["x"], two["x"])


def test_recipes_are_listed_and_printed(place):
    listed = {row["id"]: row["what"] for row in json.loads(call("recipes", "--json").stdout)}
    assert listed["checkerboard"].startswith("Gaussian noise to a checkerboard")
    assert all(what and "interpolants run" not in what for what in listed.values())
    assert "checkerboard" in call("recipes").stdout
    (place / "mine.toml").write_text(call("recipes", "checkerboard").stdout)
    call("train", "--config", "mine.toml", "--out", "runs/recipe", "--steps", 2, "-q", *SETS)


def test_training_in_the_plane_ends_with_a_picture(place):
    done = call("train", "--x1", "b.csv", "--out", "runs/picture", "--steps", 3, *SETS)
    assert "1,500 samples" in done.stderr
    assert any(0x2801 <= ord(letter) <= 0x28FF for letter in done.stderr)


def test_methods_problems_and_doctor_answer_as_table_and_as_json():
    assert "linear" in call("methods", "--kind", "path").stdout
    one = call("methods", "show", "mirror").stdout
    for word in (
        "Mirror interpolant",
        "rho0 = rho1",
        "tests/laws/test_path_laws.py",
        "albergo2023stochastic",
    ):
        assert word in one
    cards = json.loads(call("methods", "--json").stdout)
    assert {"path", "metric", "problem"} <= {card["kind"] for card in cards}
    found = json.loads(call("problems", "--json").stdout)
    assert found["datasets"]["digits"] is True
    assert "moons" in {card["id"] for card in found["problems"]}
    assert "digits" in call("problems").stdout
    facts = json.loads(call("doctor", "--json").stdout)
    assert facts["interpolants"] == interpolants.__version__
    assert facts["core"]["torch"]
    assert facts["torch"]["devices"][0] == "cpu"
    assert facts["cards"]["count"] == len(cards)
    assert facts["cards"]["left_out"] == []
    assert "next:" in call("doctor").stderr


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("rnu",), "Did you mean 'run'?"),
        (("run", "--otu", "x"), "--out"),
        (("run", "--x1", "b.csv"), "Missing option '--out'"),
        (("run", "--out", "new"), "settings or data are required, got none"),
        (("run", "--x0", "missing.csv", "--out", "new"), "data.x0: the file must exist, got missing.csv"),
        (("run", "--x0", "b.csv", "--out", "new"), "x1 is required: the training data, got x0 = b.csv only"),
        (("run", "--cond", "labels", "--out", "new"), "x1 is required: the training data, got cond = labels only"),
        (("run", "--x1", "missing.csv", "--out", "new"), "data.x1: the file must exist, got missing.csv"),
        (("run", "--x0", "labels.npy", "--x1", "b.csv", "--out", "new"), "(1,)"),
        (("run", "--x1", "b.csv", "--out", "new", "--set", "method.optmizer=adam"), "Did you mean 'optimizer'?"),
        (("run", "--x1", "b.csv", "--out", "new", "--path", "liner"), "Did you mean 'linear'?"),
        (("run", "--x1", "b.csv", "--out", "new", "--steps", 0), "steps must be a whole number >= 1"),
        (("run", "--x1", "b.csv", "--out", "new", "--quick"), "--quick needs a recipe"),
        (("run", "--x1", "b.csv", "--out", "runs/mine"), "must not hold another run"),
        (("run", "--x1", "b.csv", "--out", "b.csv"), "out must be a folder, got the file b.csv"),
        (("run", "--config", "nope.toml", "--out", "new"), "the settings file must exist, got nope.toml"),
        (("run", "--config", "b.csv", "--out", "new"), "must end in .toml, .yaml, .yml or .json"),
        (("run", "--out", "runs/mien", "--resume"), "Did you mean 'mine'?"),
        (("train", "--x1", "b.csv"), "a run folder is needed"),
        (("sample", "runs/mien", "-n", 2, "--out", "s.npz"), "Did you mean 'mine'?"),
        (("sample", "runs/mine", "-n", 2, "--task", "mian", "--out", "s.npz"), "Did you mean 'main'?"),
        (("sample", "runs/mine", "-n", 2, "--out", "s.pkl"), "the file to write must end in"),
        (("sample", "runs/mine", "-n", 2, "--method", "huen", "--out", "s.npz"), "Did you mean 'heun'?"),
        (("sample", "runs/mine", "-n", 2, "--n-stepps", 2), "--n-steps"),
        (("log-prob", "runs/mine", "labels.npy"), "event shape"),
        (("log-prob", "runs/labels", "b.csv"), "cond"),
        (("check", "runs"), "must contain a trained model"),
        (("report", "runs/none"), "the folder must be one of a run"),
        (("methods", "--kind", "paths"), "Did you mean 'path'?"),
        (("methods", "miror"), "Did you mean 'mirror'?"),
        (("methods", "show", "miror"), "Did you mean 'mirror'?"),
        (("methods", "show"), "exactly one id is required, got none"),
        (("methods", "show", "mirror", "--paper", "albergo"), "--paper is for the list"),
        (("methods", "--family", "difusion paths"), "Did you mean 'diffusion paths'?"),
        (("methods", "--paper", "albergo2032stochastic"), "Did you mean 'albergo2023stochastic'?"),
        (("recipes", "moons"), "Did you mean 'moons_to_rings'?"),
        (("train", "--config", "moons_to_ring", "--out", "new"), "Did you mean 'moons_to_rings'?"),
        (("run", "--x1", "empty.csv", "--out", "new"), "empty"),
        (("run", "--x1", "b.csv", "--cond", "short.npy", "--out", "new"), "cond 3"),
        (("sample", "runs/mine", "-n", 2, "--eps", "-1", "--out", "s.npz"), "must be finite and >= 0, got -1"),
        (("sample", "runs/mine", "-n", 2, "--eps", "much", "--out", "s.npz"), "eps"),
        (("sample", "runs/mine", "-n", 2, "--eps", 1, "--method", "rk4"), "eps > 0 needs an SDE solver"),
        (("sample", "runs/labels", "-n", 2, "--label", 7, "--out", "s.npz"), "label"),
        (("complete", "runs/mine", "x"), "must have this capability"),
        (("train", "--resume", "runs/none"), "the folder must"),
    ],
)  # fmt: skip
def test_mistakes_end_with_code_two_and_leave_nothing(place, words, message):
    before = sorted(path.name for path in place.rglob("*"))
    result = call(*words, code=2)
    said = " ".join(result.stderr.replace("│", " ").split())
    assert message in said
    assert said == MESSAGES[" ".join(map(str, words))]
    assert "Traceback" not in result.output
    assert sorted(path.name for path in place.rglob("*")) == before


def test_a_mistake_in_a_process_of_its_own_shows_no_traceback(place):
    """Of the quickest command: the others end in the same place, but import PyTorch first."""
    code = "from interpolants.cli.app import main; main()"
    command = [sys.executable, "-c", code, "recipes", "moons"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: recipes: the recipe must be one of the library's, got 'moons'")
    assert "Traceback" not in done.stderr


def test_control_c_saves_says_how_to_go_on_and_exits_with_130(place):
    """The signal comes to this process, as soon as the training that catches it has begun its log."""
    match = place.joinpath("runs", "stopped", "work", CELL, "train", "match")
    log, over = match / "log.csv", threading.Event()

    def press():
        while not log.exists():
            if over.wait(0.02):
                return
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    try:
        words = ("train", "--x1", "b.csv", "--out", "runs/stopped", "--steps", 1_000_000, *SETS)
        stderr = call(*words, code=130).stderr
    finally:
        over.set()
        presser.join()
    assert "Resume with: interpolants run --out runs/stopped --resume" in " ".join(stderr.split())
    assert "Traceback" not in stderr
    assert list((match / "checkpoints").glob("step-*"))


def test_help_imports_neither_torch_nor_anything_optional():
    code = (
        "import sys, typer.testing, interpolants.cli.app as a; "
        "typer.testing.CliRunner().invoke(a.app, ['run', '--help']); "
        "print([m for m in ('torch', 'numpy', 'matplotlib', 'sklearn', 'scipy', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "[]"


def test_explore_refuses_what_is_no_run_before_it_serves_anything(place):
    result = call("explore", "runs/minne", "--no-open", code=2)
    assert "Did you mean 'mine'?" in result.output


@pytest.mark.slow
def test_export_writes_a_checked_program(place, tmp_path):
    torch = pytest.importorskip("torch")
    out = tmp_path / "sampler.pt2"
    found = json.loads(
        call("export", "runs/mine", "--solver", "euler", "--steps", 2, "--out", out, "--json").output
    )
    assert found["about"]["sampler"]["steps"] == 2
    run = torch.export.load(out).module()
    x = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    expected = interpolants.load("runs/mine").transport(x, method="euler", n_steps=2)
    assert torch.allclose(run(x=x), torch.as_tensor(expected), atol=1e-5)
    assert "must not exist" in call("export", "runs/mine", "--out", out, code=2).output
    assert (
        "must be a number or 'input'"
        in call("export", "runs/mine", "--out", tmp_path / "b.pt2", "--guidance", "much", code=2).output
    )
