"""The README by question: every answer is run on small files, in the order in which it stands."""

import re
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from rings import ABSENT

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text("utf-8")
SECTION = TEXT.partition("## By question\n")[2].partition("\n## ")[0]
FIRST_SCREEN = 32
# What makes a fit short; the answers are judged elsewhere.
SMALL = ["method.steps=5", "method.batch_size=32", "method.net={kind='mlp', width=8, depth=1}", "ask=[]"]


def test_the_first_screen_says_what_it_is_how_to_install_and_what_was_not_tried():
    screen = "\n".join(TEXT.splitlines()[:FIRST_SCREEN])
    for words in (
        "Bridge two arbitrary distributions",
        "pip install",
        "make demo",
        "make test",
        "run on a GPU yet",
    ):
        assert words in screen


def test_twelve_questions_have_short_answers_on_eighty_lines():
    answers = re.findall(r"^\*\*.+?\n```(?:sh|python)\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
    assert len(answers) == 12
    assert max(answer.count("\n") for answer in answers) <= 3
    assert len(SECTION.splitlines()) <= 80


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Small files of the names that the README uses."""
    pandas = pytest.importorskip("pandas")
    place, rng = tmp_path_factory.mktemp("readme"), np.random.default_rng(0)
    tables = {name: pandas.DataFrame(rng.normal(size=(60, 2)), columns=["height", "weight"]) for name in "ab"}
    tables["gaps"] = tables["b"].mask(rng.random((60, 2)) < 0.3)
    for name, table in tables.items():
        table.to_csv(place / f"{name}.csv", index=False)
    hours = pandas.date_range("2024-03-01", periods=200, freq="h")
    pandas.DataFrame({"load": np.sin(np.arange(200) * np.pi / 12)}, index=hours).to_csv(place / "series.csv")
    arrays = {"theta": (60, 2), "simulated": (60, 3), "pictures": (60, 1, 8, 8), "coarse": (3, 1, 4, 4)}
    for name, shape in arrays.items():
        np.save(place / f"{name}.npy", rng.normal(size=shape).astype(np.float32))
    return place


@pytest.mark.slow  # about two minutes: twelve answers, some of them commands in processes of their own
@pytest.mark.skipif(bool(ABSENT), reason="answers lie in all rings")
def test_all_answers_run_on_small_files(folder, monkeypatch):
    monkeypatch.chdir(folder)
    names = {}
    for language, code in re.findall(r"^```(sh|python)\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL):
        if language == "sh":
            for line in code.splitlines():
                run(line)
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Guided forecasts of a network that has learnt nothing are refused as diverged.
            steps = "steps=200" if "forecast" in code else "steps=5"
            exec(compile(re.sub(r"\bsteps=\d{3,}", steps, code), "README.md", "exec"), names)
    assert names["draws"].shape == (1000, 2)
    assert names["restored"].shape[0] == 3
    assert names["restored"].shape[2:] == (1, 8, 8)
    assert not names["filled"].isna().any(axis=None)
    assert names["few"].shape == (1000, 2)
    assert names["own"].sample(3).shape == (3, 2)
    for made in (
        "runs/ab/report.html",
        "carried.csv",
        "made.csv",
        "many.npy",
        "sampler.pt2",
        "runs/map/report.html",
    ):
        assert (folder / made).exists(), made


def run(line):
    words = shlex.split(line, comments=True)
    assert words[0] == "interpolants", line
    short = (
        [word for text in SMALL for word in ("--set", text)]
        if words[1] == "run" and "--quick" not in words
        else []
    )
    done = subprocess.run(
        [sys.executable, "-m", *words, *short], capture_output=True, text=True, check=False, timeout=500
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
