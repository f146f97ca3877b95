"""A real SIGKILL in every kind of stage, in a process of its own; gone on with in another, the same bits come out.

The default test kills a toy room for each kind of stage; the slow one every third method, in each of its stages, and
all of them with ``INTERPOLANTS_WHOLE=1 python -m pytest -m slow tests/laws/test_killed.py``.
"""

import functools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from laws.instances import method_cards
from thirds import third

pytestmark = pytest.mark.usefixtures("rooms")
TESTS = Path(__file__).parents[1]
# Room -> stages and the steps after which it is killed.
KINDS = {
    "gap_series": {"season": 1, "likelihood": 13},  # once, loop
    "players": {"play": 29},  # live
    "student": {"distil": 17},  # train
    "latent_fields": {"autoencoder": 11, "codes/match": 9},  # train, fit
}


def killed(jobs: dict[str, dict[str, int] | None], place: Path) -> dict[str, dict]:
    """Kill these methods in these stages, or all, by `killed`: how the processes ended, and what the fits learnt."""
    paths = [str(TESTS), str(TESTS / "rooms" / "installed"), os.environ.get("PYTHONPATH", "")]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, str(TESTS / "laws" / "killed.py"), str(place), json.dumps(jobs)]
    done = subprocess.run(command, capture_output=True, text=True, env=variables, check=False, timeout=500)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    return {name: {**one, "said": done.stderr[-1000:]} for name, one in found.items()}


def check(name: str, found: dict) -> None:
    assert found["ends"] == [signal.SIGKILL] * found["stages"], f"{name}: {found['said']}"
    assert found["whole"]
    assert found["resumed"] == found["whole"], name


def test_killed_in_each_kind_of_stage_and_gone_on_with(tmp_path):
    for name, found in killed(KINDS, tmp_path).items():
        check(name, found)


METHODS = third(method_cards())
# So many are killed by one process, which imports the library once for them.
BATCH = 12


@pytest.fixture(scope="module")
def found_in(tmp_path_factory):
    """What came of the methods of a batch, by its number."""

    @functools.cache
    def batch(number: int) -> dict[str, dict]:
        cards = METHODS[BATCH * number : BATCH * (number + 1)]
        jobs = {card.id: None for card in cards if not card.scopes.resume.startswith("none")}
        return killed(jobs, tmp_path_factory.mktemp("killed"))

    return batch


@pytest.mark.slow
@pytest.mark.parametrize("card", METHODS, ids=lambda card: card.id)
def test_every_method_killed_in_each_of_its_stages(card, found_in):
    if card.scopes.resume.startswith("none"):
        pytest.skip(card.scopes.resume)
    found = found_in(METHODS.index(card) // BATCH)[card.id]
    assert found["whole"], f"{card.id}: {found['said']}"
    if not found["stages"]:
        pytest.skip("the fit has no stages")
    check(card.id, found)
