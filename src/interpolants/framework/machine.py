"""Code, versions and machine on which a number depends, in addition to its settings."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from interpolants.foundations.version import __version__

ROOT = Path(__file__).resolve().parents[3]


def manifest() -> dict[str, Any]:
    """Commit, versions, hardware, and the time now."""
    return {
        "commit": code_commit(),
        "library": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "hardware": {
            "machine": platform.machine(),
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
        },
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def code_commit(root: Path = ROOT) -> str:
    """Commit of the code, with a + if files of the library or the studies differ from it; else ``"unknown"``."""
    try:
        commit = _git(root, "rev-parse", "--short=12", "HEAD")
        changed = _git(
            root, "status", "--porcelain", "--untracked-files=no", "--", "src", ":(glob)studies/**/*.py"
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+" if changed else "")


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
