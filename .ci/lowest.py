"""Print the lowest release that pyproject.toml allows of every dependency, as requirements for pip.

python .ci/lowest.py [--keep NAME]...     what is kept is left to pip, e.g. torch, whose older wheels are gigabytes
"""

import argparse
import re
import sys
import tomllib
from pathlib import Path

# What runs the tests and what builds the site is not what users install; the rivals of [symbolic] ask for a newer NumPy
# than the library does.
TOOLS = {"dev", "docs", "symbolic", "test"}


def lowest(requirement: str) -> tuple[str, str]:
    """``("numpy", "numpy==1.26")`` of ``numpy>=1.26``, and of ``numpy==1.26``."""
    found = re.fullmatch(r"([A-Za-z0-9_.-]+)\s*[>=]=\s*([0-9.]+)", requirement)
    if not found:
        raise SystemExit(f"lowest: a dependency must read 'name>=version', got {requirement!r}")
    return found[1], f"{found[1]}=={found[2]}"


def pins(project: dict, keep: set[str]) -> list[str]:
    """One pin per package; where two extras ask for one package, the higher of the two."""
    extras = project["optional-dependencies"]
    asked = [
        *project["dependencies"],
        *(r for name, list_ in extras.items() if name not in TOOLS for r in list_),
    ]
    found: dict[str, str] = {}
    for name, pin in (lowest(r) for r in asked if not r.startswith("interpolants[")):
        if name not in keep and version(pin) >= version(found.get(name, "==0")):
            found[name] = pin
    return sorted(found.values())


def version(pin: str) -> tuple[int, ...]:
    """The numbers behind ``==``."""
    return tuple(map(int, pin.partition("==")[2].split(".")))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="append", default=[])
    root = Path(__file__).parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    sys.stdout.write("\n".join(pins(project, set(parser.parse_args().keep))) + "\n")
