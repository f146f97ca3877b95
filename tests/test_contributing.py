"""The worked example of CONTRIBUTING.md: its five files, written into a copy of the repository, are a method."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SECTION = "## A method is five files"


def example():
    """Path -> text of the files that the section shows, in order."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    section = re.split(r"\n## (?!A method)", text[text.index(SECTION) :], maxsplit=1)[0]
    found = re.findall(r"\*\*\d\. [^`]*`([^`]+)`.*?```\w+\n(.*?)\n```", section, re.DOTALL)
    return {place: body + "\n" for place, body in found}


def test_the_example_has_five_files_and_none_of_them_is_there():
    files = example()
    assert len(files) == 5
    assert not [place for place in files if (ROOT / place).exists()]


@pytest.mark.slow  # about 40 s: the distributions of all paths, and a short run
def test_five_files_and_no_edit_elsewhere_make_a_method(tmp_path):
    for part in ("src", "tests", "docs", "recipes", "pyproject.toml", "README.md"):
        source = ROOT / part
        skipped = shutil.ignore_patterns("__pycache__", "*.png", "studies")
        shutil.copytree(source, tmp_path / part, ignore=skipped) if source.is_dir() else shutil.copy(
            source, tmp_path
        )
    for place, body in example().items():
        (tmp_path / place).write_text(body, "utf-8")
    call(tmp_path, "docs/methods.py")
    assert "`smoothstep`" in (tmp_path / "docs/methods/README.md").read_text("utf-8")
    distributions = (
        "tests/laws/test_path_laws.py",
        "tests/laws/test_truth.py",
        "tests/paths/test_smoothstep.py",
    )
    chosen = ("-m", "slow or not slow", "-k", "smoothstep and not 128")
    told = call(tmp_path, "-m", "pytest", "-q", "-rA", "tests/test_cards.py", *distributions, *chosen)
    for distribution in ("test_path_laws.py", "test_truth.py", "test_smoothstep.py"):
        assert len(re.findall(rf"PASSED .*{distribution}", told)) >= 2, (
            f"{distribution} did not run over the new path"
        )
    assert "Path at rest at both ends" in call(tmp_path, "-m", "interpolants", "methods", "--kind", "path")
    told = call(tmp_path, "-m", "interpolants", "methods", "show", "smoothstep")
    assert "x_t = (1 - w) x0 + w x1; w = t²(3 - 2t)" in told
    assert "interpolants run --config smoothstep" in told
    offered = "from interpolants.web.playground import paths; assert 'smoothstep' in paths()"
    call(tmp_path, "-c", offered)
    short = ("train.steps=30", "evaluate.n=200", "evaluate.log_prob=0", "evaluate.check=false")
    sets = [word for setting in short for word in ("--set", setting)]
    call(tmp_path, "-m", "interpolants", "run", "--config", "recipes/smoothstep.toml", "--out", "run", *sets)
    report = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "<var>w</var> = <var>t</var>²(3 − 2<var>t</var>)" in report


def call(place, *words):
    """Run Python in the copy; what it printed."""
    paths = [str(place / "src"), str(place / "tests")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "200"}
    environment["PYTHONFAULTHANDLER"] = "1"
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=place,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        told, errors = process.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # with PYTHONFAULTHANDLER it says where it stands
        told, errors = process.communicate(timeout=60)
    assert process.returncode == 0, told[-3000:] + errors[-3000:]
    return told
