import json
import math
import re
import subprocess
import sys

import numpy as np
import pytest
from studies.common import ROOT, TABLE, Study, read, run

from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.answered import measured
from interpolants.framework.experiment import settings_hash, stored_answers
from interpolants.framework.figures import Figure, Panel
from interpolants.framework.seeds import markdown
from rings import names_absent
from studies import __main__ as command


def study(ran, fail_at=None, settings=None):
    """Two cases whose number is known; may break off at one of them."""

    def measure(case, seed, options):
        if (case, seed) == fail_at:
            raise KeyboardInterrupt
        ran.append((case, seed))
        values = {"n": options["scale"] * (10 * seed + len(case)), "far": math.inf}
        return measured(values, {"a": np.arange(3) + seed})

    def table(results):
        return markdown(["case", "n"], [[c, results.shown(c, "n")] for c in ("x", "long")])

    def figures(results):
        return [Figure(name="seen", panels=(Panel(series=(results.curve([0], [("x", "n")]),)),))]

    sizes = {"quick": settings or {"scale": 2.0}, "laptop": {"scale": 3.0}}
    return Study("example", sizes, lambda _: ["x", "long"], measure, table, figures)


def test_an_interrupted_study_goes_on_and_measures_nothing_twice(tmp_path):
    first, second = [], []
    with pytest.raises(KeyboardInterrupt):
        run(study(first, fail_at=("long", 1)), "quick", range(2), tmp_path)
    assert first == [("x", 0), ("long", 0), ("x", 1)]
    results = run(study(second), "quick", range(2), tmp_path)
    assert second == [("long", 1)]
    assert results.values("long", "n") == [8.0, 28.0]
    assert results.values("x", "far") == [math.inf, math.inf]
    np.testing.assert_array_equal(results.arrays("x", 1)["a"], [1, 2, 3])
    assert (tmp_path / "seen.png").stat().st_size > 1000
    assert "| x | 12.000 ± 10.000 |" in (tmp_path / TABLE).read_text()


def test_more_seeds_are_added_and_fewer_lose_nothing(tmp_path):
    ran = []
    for count in (1, 3, 1):
        results = run(study(ran), "quick", range(count), tmp_path)
    assert len(ran) == len(set(ran)) == 6
    assert results.seeds == [0, 1, 2]


def test_results_of_other_settings_are_refused_not_mixed(tmp_path):
    run(study([]), "quick", range(1), tmp_path)
    with pytest.raises(InvalidInputError, match="must contain results of example with these settings"):
        run(study([], settings={"scale": 2.5}), "quick", range(2), tmp_path)
    with pytest.raises(InvalidInputError, match="must contain results of one of its sizes"):
        study([], settings={"scale": 2.5}).stored(tmp_path)
    assert len(read(study([]).stored(tmp_path), tmp_path).cases) == 2


def test_an_unknown_size_or_case_is_named(tmp_path):
    with pytest.raises(InvalidInputError, match="size must be one of the study"):
        run(study([]), "full", range(1), tmp_path)
    with pytest.raises(InvalidInputError, match="case must be one of the study"):
        run(study([]), "quick", range(1), tmp_path, only=["lang"])


@pytest.fixture
def ran(monkeypatch):
    """What the command measures of the example above."""
    found = []
    monkeypatch.setattr(command, "names", lambda: ["example"])
    monkeypatch.setattr(command, "find", lambda name: study(found))
    return found


def test_the_command_refuses_misspelt_cases_and_other_settings_in_words(tmp_path, capsys, ran):
    wrong = ({"--case": "lang"}, "Did you mean 'long'"), ({"--seeds": "0"}, "must be >= 1")
    for change, told in (*wrong, ({"--redraw": None}, "must contain results of one of its sizes")):
        words = [
            word for pair in {"--size": "quick", "--out": str(tmp_path), **change}.items() for word in pair
        ]
        with pytest.raises(SystemExit) as stop:
            command.command(["example", *filter(None, words)])
        assert stop.value.code == 2
        assert told in capsys.readouterr().err
    assert ran == []


def test_the_command_runs_redraws_and_shows_the_table(tmp_path, capsys, ran):
    place = ["--size", "quick", "--out", str(tmp_path)]
    assert command.command(["example", *place, "--seeds", "2"]) == 0
    assert "| x | 12.000 ± 10.000 |" in capsys.readouterr().out
    (tmp_path / "seen.png").unlink()
    command.command(["example", *place, "--redraw"])
    assert (tmp_path / "seen.png").exists()
    assert len(ran) == 4


@pytest.mark.slow
def test_a_study_runs_in_two_processes_from_the_command_line(tmp_path):
    options = ["--size", "quick", "--seeds", "2", "--workers", "2", "--out", str(tmp_path)]
    cases = ["--case", "sqrt(t(1-t))", "--case", "0"]
    words = [sys.executable, "-W", "error", "-m", "studies", "checkerboard", *options, *cases]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    assert "checkerboard.png" in {path.name for path in tmp_path.iterdir()}
    assert len(read(command.find("checkerboard").stored(tmp_path), tmp_path).seeds) == 2


MEASURED = [
    name
    for name in command.names()
    if (ROOT / "studies" / name / "results").is_dir()
    and not names_absent((ROOT / "studies" / name / "experiment.py").read_text())
]


@pytest.mark.cases(10)
@pytest.mark.parametrize("name", MEASURED)
def test_what_is_published_of_a_study_is_what_its_results_say(name):
    folder, declared = ROOT / "studies" / name, command.find(name)
    experiment = declared.stored(folder)
    results = read(experiment, folder)
    found = experiment.gather(stored_answers(experiment, folder))
    assert found.texts["table"][0] == (folder / TABLE).read_text(encoding="utf-8")
    assert {figure.name for figure in found.figures} == {path.stem for path in folder.glob("*.png")}
    head = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert {"commit", "library", "torch", "numpy", "python", "hardware", "started"} <= head.keys()
    size = next(s for s, own in declared.settings.items() if settings_hash(own) == head["settings_hash"])
    pages = [folder / "README.md", ROOT / "docs" / "experiments.md"]
    words = rf"python -m studies {name} --size {size} --seeds (\d+)"
    told = [int(n) for page in pages for n in re.findall(words, page.read_text(encoding="utf-8"))]
    assert set(told) == {len(results.seeds)}
    assert not [verdict.claim.says for verdict in found.verdicts if verdict.surprising]
