"""The mutation check itself: faults of a formula by hand, draws that stay, and a fault that is caught."""

import ast
import os
import signal
import subprocess
import sys
import tomllib
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from mutants.__main__ import code_without_text
from mutants.drawing import CORE, PACKAGE, PER_MODULE, drawn, share
from mutants.nearest import nearest_tests
from mutants.operators import changes
from mutants.report import page
from mutants.trial import _waited, copied, tried

from interpolants.foundations.rings import RINGS
from thirds import whole_only

ROOT = Path(__file__).parents[1]
FORMULA = '''
def rate(t, x, eps=1e-6):
    """A docstring: t + 1."""
    if x < 0:
        raise ValueError(f"x must be >= 0, got {x + 1}")
    größe = x.square() + eps
    return (1 - t) * größe.sqrt() - linspace(0, 1, n + 1)[-1]
'''


def texts(operator):
    return {(one.before, one.after) for one in changes(FORMULA, "toy.py") if one.operator == operator}


def test_reworded_text_is_no_change_of_code_and_a_changed_number_is():
    reworded = FORMULA.replace("A docstring", "Another").replace("x must be >= 0, got", "x is negative:")
    assert code_without_text(reworded + "# a comment\n") == code_without_text(FORMULA)
    assert code_without_text(FORMULA.replace("x + 1}", "x + 2}")) != code_without_text(FORMULA)
    assert code_without_text(FORMULA.replace("1e-6", "1e-5")) != code_without_text(FORMULA)


def test_each_kind_of_fault_by_hand():
    assert texts("swapped time") == {("1 - t", "t")}
    assert texts("power") == {("x.square()", "(x)"), ("größe.sqrt()", "(größe)")}
    assert texts("no floor") == {("x.square() + eps", "(x.square())")}
    assert texts("factor") == {("(1 - t) * größe.sqrt()", "(2 * ((1 - t) * größe.sqrt()))")}
    assert {("n + 1", "(n + 1 + 1)"), ("n + 1", "(n)")} <= texts("off by one")
    assert ("-1", "0") in texts("end value")
    assert ("1 - t", "(1 + (t))") in texts("sign")


def test_messages_and_refusals_are_left_alone_and_every_mutant_is_a_program():
    for one in changes(FORMULA, "toy.py"):
        assert one.line >= 6
        ast.parse(one.applied(FORMULA))


def test_a_name_stays_when_lines_above_change():
    moved = "import math\n" + FORMULA
    assert [one.name for one in changes(moved, "toy.py")] == [one.name for one in changes(FORMULA, "toy.py")]


@pytest.fixture(scope="module")
def every():
    return drawn(ROOT)


@pytest.mark.slow
@whole_only  # a minute, which the check of a share in .ci/run takes as well
def test_a_draw_has_five_faults_of_each_numerical_module_and_three_of_each_room(every):
    counts = {}
    for one in every:
        counts[one.module] = counts.get(one.module, 0) + 1
    for module in ("paths/separation.py", "solvers/adaptive.py", "likelihood/log_prob.py"):
        assert counts[module] == PER_MODULE
    rooms = {"/".join(module.split("/")[:2]) for module in counts if module.split("/")[0] in RINGS}
    assert len(rooms) > 12
    for room in rooms:
        assert sum(count for module, count in counts.items() if module.startswith(room)) >= 3
    assert {module.split("/")[0] for module in counts} >= set(CORE)
    for one in every:
        ast.parse(one.applied((ROOT / PACKAGE / one.module).read_text()))


@pytest.mark.slow
@whole_only  # a minute, which the check of a share in .ci/run takes as well
def test_a_share_is_the_same_each_time_and_part_of_a_larger_one(every):
    tenth, fifth = share(every, 0.1), share(every, 0.2)
    assert set(tenth) < set(fifth) < set(every)
    assert 0.05 * len(every) < len(tenth) < 0.15 * len(every)


def test_the_nearest_tests_come_first():
    assert nearest_tests(ROOT, "likelihood/log_prob.py")[0] == "tests/likelihood/test_log_prob.py"
    assert nearest_tests(ROOT, "paths/linear.py")[0] == "tests/laws/test_path_laws.py"


@pytest.mark.slow
@whole_only  # a minute, which the check of a share in .ci/run takes as well
def test_the_page_counts_what_was_caught_first_and_what_is_explained(every):
    one, two, three = every[:3]
    kept = {
        one.name: {"outcome": "caught", "first": "caught"},
        two.name: {"outcome": "caught", "first": "survived"},
        three.name: {"outcome": "survived", "first": "survived"},
    }
    text = page(every, kept, {})
    assert f"| all | {len(every)} | 3 | 1 (33%) | 2 | 0 | 1 |" in text
    assert str(three) in text
    assert "| 3 | 1 (33%) | 2 | 1 | 0 |" in page(
        every, kept, {three.name: {"is": "equivalent", "why": "..."}}
    )


@pytest.mark.slow
def test_a_fault_is_told_from_none_and_taken_out_again(tmp_path):
    if subprocess.run(["git", "rev-parse"], cwd=ROOT, capture_output=True, check=False).returncode:
        pytest.skip("not a git checkout")
    copy = copied(ROOT, tmp_path / "copy")
    file = PACKAGE / "paths" / "linear.py"
    fault = next(
        one for one in changes((ROOT / file).read_text(), "paths/linear.py") if one.operator == "swapped time"
    )
    # In a fresh process, as by `python -m mutants`: this one has computed in threads, and must not fork.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        found = fresh.submit(tried, fault, copy, ["tests/laws/test_path_laws.py"]).result(timeout=400)
        missed = fresh.submit(tried, fault, copy, ["tests/metrics/test_ranks.py"]).result(timeout=400)
    assert found["outcome"] == "caught"
    assert "test_path_laws" in found["by"]
    assert (copy / file).read_text() == (ROOT / file).read_text()
    assert missed["outcome"] == "survived"


def test_a_child_that_waits_for_ever_is_killed():
    child = subprocess.Popen(["sleep", "100"])
    child.returncode = os.waitstatus_to_exitcode(_waited(child.pid, 0.1))
    assert child.returncode == -signal.SIGKILL


def test_the_process_that_workers_are_forked_from_does_not_import_the_library():
    """A worker would not read it again after a mutant was put into it, and no mutant would be seen."""
    code = "import sys; from pathlib import Path; from mutants import __main__\n"
    code += "from mutants.nearest import nearest_tests\n"
    code += f"assert nearest_tests(Path({str(ROOT)!r}), 'paths/linear.py')\n"
    code += "print([name for name in sys.modules if name.startswith('interpolants')])"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_each_explained_survivor_says_what_it_is_and_why():
    explained = tomllib.loads((ROOT / "mutants" / "survivors.toml").read_text("utf-8"))
    assert explained
    for name, one in explained.items():
        assert set(one) == {"is", "why"}, name
        assert one["is"] in ("equivalent", "open"), name
