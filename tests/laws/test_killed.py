"""A real SIGKILL in every kind of stage, in a process of its own; gone on with in another, the same bits come out.

The default test kills a toy room for each kind of stage; the slow one every method, in each of its stages:
``python -m pytest -m slow tests/laws/test_killed.py``.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from laws.instances import instance, method_cards

pytestmark = pytest.mark.usefixtures("rooms")
TESTS = Path(__file__).parents[1]
# Room -> stages and the steps after which it is killed.
KINDS = {
    "gap_series": {"season": 1, "likelihood": 13},  # once, loop
    "players": {"play": 29},  # live
    "student": {"distil": 17},  # train
    "latent_fields": {"autoencoder": 11, "codes/match": 9},  # train, fit
}


def check_killed(jobs: dict[str, dict[str, int]], place: Path) -> None:
    """Kill these methods in these stages by `killed`, and compare."""
    paths = [str(TESTS), str(TESTS / "rooms" / "installed"), os.environ.get("PYTHONPATH", "")]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, str(TESTS / "laws" / "killed.py"), str(place), json.dumps(jobs)]
    done = subprocess.run(command, capture_output=True, text=True, env=variables, check=False, timeout=500)
    assert done.returncode == 0, done.stderr[-2000:]
    for name, found in json.loads(done.stdout).items():
        assert found["ends"] == [signal.SIGKILL] * len(jobs[name]), f"{name}: {done.stderr[-1000:]}"
        assert found["whole"]
        assert found["resumed"] == found["whole"], name


def test_killed_in_each_kind_of_stage_and_gone_on_with(tmp_path):
    check_killed(KINDS, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("card", method_cards(), ids=lambda card: card.id)
def test_every_method_killed_in_each_of_its_stages(card, tmp_path):
    if card.scopes.resume.startswith("none"):
        pytest.skip(card.scopes.resume)
    one, stages = instance(card), {}
    one.method.fit_roles(one.task.for_fit(one.method), watch=lambda name, k, n: stages.setdefault(name, n))
    if not stages:
        pytest.skip("the fit has no stages")
    check_killed({card.id: {name: max(1, 2 * steps // 3) for name, steps in stages.items()}}, tmp_path)
