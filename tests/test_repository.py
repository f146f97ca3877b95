"""What the repository holds: sources and small pictures, no large or built files."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LARGEST = 1_000_000  # bytes
TRAINED = ROOT / "src/interpolants/pretrained"  # whose sizes tests/runs/test_pretrained.py limits


def tracked_files():
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip(f"git cannot list the files: {listed.stderr.strip()}")
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def test_no_large_or_built_file_is_tracked():
    files = tracked_files()
    assert len(files) > 1000
    assert not [path for path in files if path.suffix in {".whl", ".gz", ".zip"}]
    sources = [path for path in files if path.exists() and not path.is_relative_to(TRAINED)]
    assert not [path for path in sources if path.stat().st_size > LARGEST]


@pytest.mark.slow
def test_a_run_that_has_no_time_left_starts_no_test_and_says_how_many():
    pytest_of_one_file = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-m",
        "not slow",
        __file__,
    ]
    whole, none = (
        subprocess.run([*pytest_of_one_file, "--at-most", at_most], cwd=ROOT, capture_output=True, text=True)
        for at_most in ("500", "0")
    )
    assert "not started" not in whole.stdout
    assert "1 tests were not started: no time left" in none.stdout
