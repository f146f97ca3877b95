"""What the repository holds: sources and small pictures, no large or built files."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LARGEST = 1_000_000  # bytes


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
    assert not [path for path in files if path.exists() and path.stat().st_size > LARGEST]
