"""The worked examples of CONTRIBUTING.md: their files, written into a copy of the repository, are members."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from interpolants.testing import METHOD_CHECKS
from plugins import write_distribution

ROOT = Path(__file__).parents[1]
# Section -> number of files that it shows.
MEMBER = "## A member is five files"
METHOD = "## A method that learns is the same five files"
QUESTION = "## A question is one file and its card"
LOADER = "## A loader is one function, its card and its test"
ROOM = "## A room is two folders"
SECTIONS = {MEMBER: 5, METHOD: 5, QUESTION: 2, LOADER: 3, ROOM: 5}
ELSEWHERE = "## Members from elsewhere"


def section(heading):
    """The text below a heading."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    return text[text.index(f"\n{heading}\n") + 1 :].partition("\n## ")[0]


def example(heading):
    """Path -> text of the files that a section shows, in order."""
    found = re.findall(r"\*\*\d\. [^`]*`([^`]+)`.*?```\w+\n(.*?)\n```", section(heading), re.DOTALL)
    return {place: body + "\n" for place, body in found}


@pytest.mark.parametrize("heading", SECTIONS)
def test_an_example_shows_all_its_files_and_none_of_them_is_there(heading):
    files = example(heading)
    assert len(files) == SECTIONS[heading]
    assert not [place for place in files if (ROOT / place).exists()]


@pytest.fixture
def copy(tmp_path):
    """A copy of the repository, without pictures and studies."""
    for part in ("src", "tests", "docs", "recipes", "pyproject.toml", "README.md"):
        source = ROOT / part
        skipped = shutil.ignore_patterns("__pycache__", "*.png", "studies")
        shutil.copytree(source, tmp_path / part, ignore=skipped) if source.is_dir() else shutil.copy(
            source, tmp_path
        )
    return tmp_path


def write(place, *headings):
    for heading in headings:
        for name, body in example(heading).items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(body, "utf-8")


@pytest.mark.slow  # about 40 s: the laws of all paths, and a short run
def test_five_files_and_no_edit_elsewhere_make_a_path(copy):
    write(copy, MEMBER)
    call(copy, "docs/methods.py")
    assert "`smoothstep`" in (copy / "docs/methods/README.md").read_text("utf-8")
    laws = ("tests/laws/test_path_laws.py", "tests/laws/test_truth.py", "tests/paths/test_smoothstep.py")
    chosen = ("-m", "slow or not slow", "-k", "smoothstep and not 128")
    told = call(copy, "-m", "pytest", "-q", "-rA", *laws, *chosen)
    for file in ("test_path_laws.py", "test_truth.py", "test_smoothstep.py"):
        assert len(re.findall(rf"PASSED .*{file}", told)) >= 2, f"{file} did not run over the new path"
    keeps_its_word(copy)
    assert "Path at rest at both ends" in call(copy, "-m", "interpolants", "methods", "--kind", "path")
    told = call(copy, "-m", "interpolants", "methods", "show", "smoothstep")
    assert "x_t = (1 - w) x0 + w x1; w = t²(3 - 2t)" in told
    assert "interpolants run --config smoothstep" in told
    offered = "from interpolants.web.playground import paths; assert 'smoothstep' in paths()"
    call(copy, "-c", offered)
    call(copy, "-m", "interpolants", "run", "--config", "recipes/smoothstep.toml", "--quick", "--out", "run")
    report = (copy / "run" / "report.html").read_text("utf-8")
    assert "<var>w</var> = <var>t</var>²(3 − 2<var>t</var>)" in report


@pytest.mark.slow  # about 40 s: the laws of one method, and commands
def test_files_of_a_method_and_a_question_and_no_edit_elsewhere_learn_and_answer(copy):
    write(copy, METHOD, QUESTION)
    call(copy, "docs/methods.py")
    page = (copy / "docs/methods/README.md").read_text("utf-8")
    assert "`ridge`" in page
    assert "`squared_error`" in page
    laws = ("tests/laws/test_method_laws.py", "tests/methods/test_ridge.py")
    chosen = ("-m", "slow or not slow", "-k", "(ridge and not bridge) or squared_error")
    told = call(copy, "-m", "pytest", "-q", "-rA", *laws, *chosen)
    for file, least in (("test_method_laws.py", 8), ("test_ridge.py", 4)):
        found = len(re.findall(rf"PASSED .*{file}", told))
        assert found >= least, f"{found} tests of {file} ran over the method"
    keeps_its_word(copy)
    assert "Ridge regression" in call(copy, "-m", "interpolants", "methods", "--kind", "method")
    assert "predict" in call(copy, "-m", "interpolants", "methods", "show", "ridge")
    call(copy, "-m", "interpolants", "run", "--config", "ridge", "--quick", "--out", "run")
    assert "Squared error" in (copy / "run" / "report.html").read_text("utf-8")
    (copy / "rows.csv").write_text("a,b\n3.0,0.0\n0.0,3.0\n", "utf-8")
    call(copy, "-m", "interpolants", "predict", "run", "rows.csv", "--out", "answers.csv")
    answers = [[float(n) for n in line.split(",")] for line in answered(copy)]
    # Rotated by 0.6 radians: a point of the circle stays on it, about (2.5, 1.7).
    assert answers[0] == pytest.approx([2.48, 1.69], abs=0.2)
    assert answers[1] == pytest.approx([-1.69, 2.48], abs=0.2)


@pytest.mark.slow  # about 40 s: the laws of one method, a data set and a room
def test_files_of_a_loader_and_of_a_room_and_no_edit_elsewhere_are_found_and_run(copy):
    write(copy, LOADER, ROOM)
    call(copy, "docs/methods.py")
    page = (copy / "docs/methods/README.md").read_text("utf-8")
    assert all(f"`{name}`" in page for name in ("sunspots", "walk_flow"))
    own = ("tests/data/sets/test_sunspots.py", "tests/apps/walks")
    laws = ("tests/laws/test_method_laws.py", "tests/data/test_bundled.py")
    chosen = ("-m", "slow or not slow", "-k", "sunspots or walk_flow")
    told = call(copy, "-m", "pytest", "-q", "-rA", *own, *laws, *chosen)
    least = {"test_method_laws.py": 8, "test_bundled.py": 1, "test_sunspots.py": 2, "test_walk_flow.py": 3}
    for file, count in least.items():
        found = len(re.findall(rf"PASSED .*{file}", told))
        assert found >= count, f"{found} tests of {file} ran over the new members"
    keeps_its_word(copy)
    call(copy, "-m", "interpolants", "run", "--config", "walk_flow", "--quick", "--out", "run")
    assert "CRPS" in (copy / "run" / "report.html").read_text("utf-8")
    call(copy, "-c", "from interpolants.data import load; assert len(load('sunspots', 'all').table()) == 309")


@pytest.mark.slow  # about 20 s: two processes, the laws of one method in each
def test_a_method_of_another_distribution_is_tried_against_the_laws(tmp_path):
    entry_point, defaults, test = re.findall(r"```\w+\n(.*?)```", section(ELSEWHERE), re.DOTALL)
    shown = {**example(METHOD), **example(QUESTION)}
    own = {Path(name).name: body for name, body in shown.items() if name.startswith("src/")}
    own |= {"_defaults.toml": defaults, "recipes/ridge.toml": shown["recipes/ridge.toml"]}
    write_distribution(tmp_path, "my_package", own)
    assert 'cards"]\nmine = "my_package"\n' in entry_point  # what `write_distribution` installs
    (tmp_path / "test_ridge_laws.py").write_text(test, "utf-8")
    told = call(tmp_path, "-m", "pytest", "-q", "-rA", "test_ridge_laws.py", source=ROOT / "src")
    left = {"stopped_in_any_stage_and_resumed_the_same_bits": "the fit has no stages"}
    assert len(re.findall("PASSED", told)) == len(METHOD_CHECKS) - len(left)
    tried = "from my_package.ridge import Ridge; from interpolants.testing import check_method"
    unseen = "import sys; assert 'pytest' not in sys.modules"
    call(
        tmp_path,
        "-c",
        f"{tried}; assert check_method(Ridge, 'ridge') == {left}; {unseen}",
        source=ROOT / "src",
    )


def keeps_its_word(place):
    """The rules of cards, over all cards of the copy."""
    told = call(place, "-m", "pytest", "-q", "-rA", "tests/test_cards.py", "-k", "every_card or every_public")
    assert "PASSED tests/test_cards.py::test_every_card_keeps_its_word" in told


def answered(place):
    """Lines of the answers, without the heading."""
    return (place / "answers.csv").read_text("utf-8").splitlines()[1:]


def call(place, *words, source=None):
    """Run Python in a copy of the repository, or beside a source of the library; what it printed."""
    paths = [str(place / "src"), str(place / "tests")] if source is None else [str(source), str(place)]
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
