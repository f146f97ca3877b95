import importlib
import json
import math
import re
import shutil
import subprocess

import numpy as np
import pytest
from studies.common import (
    RESULTS,
    ROOT,
    TABLES,
    Outcome,
    Results,
    Study,
    _commit,
    main,
    markdown,
    mean_and_error,
    paired_gap,
    run,
    settings_hash,
    shown,
)

from interpolants.foundations.errors import InvalidInputError


def study(measured, fail_at=None, settings=None):
    """Two cases whose number is known; may break off at one of them."""

    def measure(case, seed, options):
        if (case, seed) == fail_at:
            raise KeyboardInterrupt
        measured.append((case, seed))
        values = {"n": options["scale"] * (10 * seed + len(case)), "far": math.inf}
        return Outcome(values, {"a": np.arange(3) + seed})

    def table(results):
        return markdown(["case", "n"], [[c, shown(results.values(c, "n"))] for c in ("x", "long")])

    def figures(results, folder):
        (folder / "seen.txt").write_text(str(len(results.rows)))

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
    assert (tmp_path / "seen.txt").read_text() == "4"


def test_more_seeds_are_added_to_what_is_there(tmp_path):
    measured = []
    run(study(measured), "quick", range(1), tmp_path)
    run(study(measured), "quick", range(3), tmp_path)
    assert len(measured) == len(set(measured)) == 6


def test_the_file_is_strict_json_with_a_manifest_and_no_leftovers(tmp_path):
    run(study([]), "quick", range(2), tmp_path)

    def refuse(word):
        raise AssertionError(word)

    stored = json.loads((tmp_path / "results.json").read_text(), parse_constant=refuse)
    head = stored["manifest"]
    assert head["study"] == "example"
    assert head["settings"] == {"scale": 2.0}
    assert head["seeds"] == [0, 1]
    assert head["settings_hash"] == settings_hash({"scale": 2.0})
    assert {"commit", "torch", "python", "hardware", "started", "library"} <= head.keys()
    assert [p.name for p in tmp_path.rglob("*tmp*")] == []


def test_results_of_other_settings_are_refused_not_mixed(tmp_path):
    run(study([]), "quick", range(1), tmp_path)
    with pytest.raises(InvalidInputError, match="must hold results of example with these settings"):
        run(study([], settings={"scale": 2.5}), "quick", range(2), tmp_path)
    assert len(Results(tmp_path, "example", "quick", {"scale": 2.0}).rows) == 2


def test_the_hash_knows_values_and_not_their_order():
    assert settings_hash({"a": 1, "b": [2]}) == settings_hash({"b": [2], "a": 1})
    assert settings_hash({"a": 1, "b": [2]}) != settings_hash({"a": 1, "b": [3]})


def test_an_unknown_size_or_case_is_named(tmp_path):
    with pytest.raises(InvalidInputError, match="size must be known"):
        run(study([]), "full", range(1), tmp_path)
    with pytest.raises(InvalidInputError, match="case must be known"):
        run(study([]), "quick", range(1), tmp_path, only=["lang"])


def test_the_command_refuses_a_misspelt_case_in_words(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(study([]), ["--size", "quick", "--case", "lang", "--out", str(tmp_path)])
    assert stop.value.code == 2
    assert "Did you mean 'long'" in capsys.readouterr().err


def test_the_command_runs_redraws_and_shows_the_table(tmp_path, capsys):
    measured = []
    assert main(study(measured), ["--size", "quick", "--seeds", "2", "--out", str(tmp_path)]) == 0
    assert "| x | 12.000 ± 10.000 |" in capsys.readouterr().out
    (tmp_path / "seen.txt").unlink()
    main(study(measured), ["--size", "quick", "--redraw", "--out", str(tmp_path)])
    assert (tmp_path / "seen.txt").exists()
    assert len(measured) == 4


def test_the_error_is_that_of_the_mean():
    mean, error = mean_and_error([1.0, 2.0, 3.0, 6.0])
    assert mean == 3.0
    assert error == pytest.approx(math.sqrt(14 / 3) / 2)
    assert math.isnan(mean_and_error([1.0])[1])
    assert shown([1.0]) == "1.000"
    assert shown([]) == "–"
    assert paired_gap([3.0, 1.0], [1.0, 2.0]) == pytest.approx((0.5, 1.5, 1))


def test_a_table_has_its_rule():
    assert markdown(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |\n"


MEASURED = sorted(file.parent.name for file in (ROOT / "studies").glob(f"*/{RESULTS}"))


@pytest.mark.parametrize("name", MEASURED)
def test_the_table_of_a_study_is_that_of_its_results_and_its_command_names_their_seeds(name):
    folder = ROOT / "studies" / name
    declared = importlib.import_module(f"studies.{name}.__main__").STUDY
    size = json.loads((folder / RESULTS).read_text(encoding="utf-8"))["manifest"]["size"]
    results = Results(folder, name, size, declared.settings[size])
    assert declared.table(results) == (folder / TABLES).read_text(encoding="utf-8")
    pages = [folder / "README.md", ROOT / "docs" / "experiments.md"]
    command = rf"python -m studies\.{name} --size {size} --seeds (\d+)"
    told = [int(n) for page in pages for n in re.findall(command, page.read_text(encoding="utf-8"))]
    assert set(told) == {len(results.seeds)}


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
@pytest.mark.parametrize("file", ["src/a.py", "studies/common.py", "studies/one/experiment.py"])
def test_code_that_differs_from_its_commit_is_told(tmp_path, file):
    def git(*words):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True)

    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text("one = 1\n")
    git("init")
    git("add", ".")
    git("commit", "-m", "one")
    assert not _commit(tmp_path).endswith("+")
    (tmp_path / file).write_text("one = 2\n")
    assert _commit(tmp_path).endswith("+")
