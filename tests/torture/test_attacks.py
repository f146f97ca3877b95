"""A small part of each attack of ``make torture`` does no harm; a tenth of it in the slow tests."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Their parts run in the default tests. The others take a process of their own each, and with it seconds.
QUICK = {"failing_disks": 0.2, "odd_inputs": 0.1}
SLOW = {"kills": 0.015, "two_writers": 0.02, "full_disks": 0.04, "signals": 0.05, "bits": 0.05, "odd_inputs": 1,
        "hostile_cards": 0.04, "hostile_names": 0.05}  # fmt: skip


@pytest.mark.parametrize("name", QUICK)
def test_a_part_of_the_attack_does_no_harm(tmp_path, name):
    row = importlib.import_module(f"torture.{name}").attack(QUICK[name], tmp_path)
    assert row.harm == []
    assert row.tried == row.right + row.refused >= 20


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_a_share_of_the_attack_does_no_harm(tmp_path, name):
    command = [sys.executable, "-m", "torture", "--scale", str(SLOW[name]), "--only", name]
    places = ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "page.md")]
    done = subprocess.run([*command, *places], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-1000:]
    assert "| harm |" in (tmp_path / "page.md").read_text()
