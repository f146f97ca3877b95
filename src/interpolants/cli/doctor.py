"""Installation report: versions, devices, optional packages and how to install those that are missing."""

import importlib.metadata
import os
import platform
import re
from typing import Any

import interpolants

_CORE = ("torch", "filelock", "numpy", "safetensors", "pydantic", "PyYAML", "tqdm", "rich", "typer")
# Extras that are for developers, or only gather others.
_HIDDEN = {"all", "dev", "test"}


def diagnose() -> dict[str, Any]:
    """Return the installation report as plain values; needs only the core dependencies."""
    extras = {name: {pkg: _version(pkg) for pkg in pkgs} for name, pkgs in _extras().items()}
    return {
        "interpolants": interpolants.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count() or 1,
        "core": {name: _version(name) for name in _CORE},
        "torch": _torch(),
        "cards": _cards(),
        "extras": extras,
        "missing": [
            f"pip install 'interpolants[{name}]'"
            for name, packages in extras.items()
            if None in packages.values()
        ],
    }


def _cards() -> dict[str, Any]:
    from interpolants.foundations.cards import catalogue

    found = catalogue()
    faults = [str(fault) for fault in found.faults]
    return {"count": len(found.cards), "packages": list(found.packages), "left_out": faults}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _extras() -> dict[str, list[str]]:
    """Packages by extra, from the metadata of the installed library."""
    try:
        required = importlib.metadata.requires("interpolants") or []
    except importlib.metadata.PackageNotFoundError:  # run from a source tree that is not installed
        return {}
    found: dict[str, list[str]] = {}
    for line in required:
        package = re.match(r"[A-Za-z0-9._-]+", line)
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", line)
        if package and extra and extra[1] not in _HIDDEN:
            found.setdefault(extra[1], []).append(package[0])
    return found


def _torch() -> dict[str, Any]:
    import torch

    devices = ["cpu"]
    if torch.cuda.is_available():
        devices += [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return {"devices": devices, "threads": torch.get_num_threads()}
