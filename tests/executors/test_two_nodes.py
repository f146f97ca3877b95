"""Two nodes of Ray, one of them killed in the middle: the same bytes as undisturbed."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from framework.test_experiment import kept
from framework.toy_experiment import Toy
from interpolants.framework.experiment import conduct

CELLS = 8
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray")


@needs_ray
@pytest.mark.slow
def test_a_node_that_is_killed_changes_no_bytes(tmp_path):
    tests = Path(__file__).parents[1]
    paths = os.pathsep.join([str(tests), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    command = [sys.executable, str(Path(__file__).with_name("two_nodes.py")), str(tmp_path), str(CELLS)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=400, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert (tmp_path / "nodes").read_text() == "1"
    conduct(Toy(str(tmp_path / "alone"), count=CELLS), tmp_path / "one")
    assert kept(tmp_path / "two") == kept(tmp_path / "one")
    ran = (tmp_path / "ran").read_text().split()
    assert set(ran) == {str(k) for k in range(CELLS)}
