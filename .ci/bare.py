"""Install a wheel or an sdist without extras in a new environment, and use it from an empty folder.

    python .ci/bare.py dist/interpolants-*.whl [--python python3.12] [--torch-index URL]

The environment is temporary and has the core's dependencies only. The check fails if the archive lacks cards, type
stubs, recipes or trained models, or if the core imports an optional package.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

# Run by the new environment's Python. A warning is an error.
IMPORTS = """
import importlib.util
from importlib.resources import files

import interpolants
from interpolants.foundations.cards import load_cards
from interpolants.methods.rivals.gaussian_fit import GaussianFit
from interpolants.testing import check_method

assert "bare" in interpolants.__file__, f"not the installed package: {interpolants.__file__}"
extras = [name for name in ("sklearn", "scipy", "matplotlib", "pandas", "ot") if importlib.util.find_spec(name)]
assert not extras, f"the core pulls in optional packages: {extras}"
for name in ("py.typed", "__init__.pyi", "references.bib", "recipes/checkerboard.toml", "pretrained/models.json"):
    assert (files("interpolants") / name).is_file(), f"the package lacks {name}"
cards = load_cards()
assert cards, "the package lacks the cards"
for card in cards:
    card.load_entry()
print(f"interpolants {interpolants.__version__}: {len(cards)} cards, every entry imports without extras")
recipe = {"method": {"kind": "gaussian_fit"}, "data": {"x1": {"problem": "moons", "n": 200}}}
print(f"gaussian_fit passes the tests of methods; not tried: {check_method(GaussianFit, recipe)}")
"""
COMMANDS = (
    ("--help",),
    ("methods",),
    ("train", "--config", "checkerboard", "--set", "method.steps=5", "--out", "recipe", "--quiet"),
    ("doctor",),
)


def runs(python: str) -> bool:
    """Return True if a Python of this name is installed and starts."""
    try:
        return subprocess.run([python, "--version"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def main() -> int:
    """Check each archive; return 1 if one fails."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("archives", nargs="+", type=Path, help="wheels or sdists")
    parser.add_argument("--python", default=sys.executable, help="Python of the new environment")
    parser.add_argument(
        "--torch-index", help="package index for PyTorch only, for example that of its CPU build"
    )
    options = parser.parse_args()
    for archive in options.archives:
        if not archive.is_file():
            parser.error(f"archives must be files, got {archive}")
    try:
        for archive in options.archives:
            check(archive.resolve(), options.python, options.torch_index)
    except subprocess.CalledProcessError as error:
        sys.stdout.write(f"bare: a command ended with status {error.returncode}: {error.cmd}\n")
        return 1
    return 0


def check(archive: Path, python: str = sys.executable, torch_index: str | None = None) -> None:
    """Install an archive in a temporary environment and use it.

    Raises:
        subprocess.CalledProcessError: If it does not install, or if a command fails.
    """
    sys.stdout.write(f"bare: {archive.name} on {python}\n")
    sys.stdout.flush()
    with tempfile.TemporaryDirectory() as temporary:
        environment, empty = Path(temporary, "bare"), Path(temporary, "empty")
        empty.mkdir()
        commands = environment / ("Scripts" if os.name == "nt" else "bin")
        # A PYTHONPATH of the caller would let the repository's own package be imported.
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

        def run(*command: str | Path, quiet: bool = False) -> None:
            process = subprocess.run(
                command, cwd=empty, env=variables, check=False, capture_output=quiet, text=True
            )
            if process.returncode:
                sys.stdout.write((process.stdout or "") + (process.stderr or ""))
                process.check_returncode()

        run(python, "-m", "venv", environment)
        pip = (commands / "python", "-m", "pip", "install", "--quiet")
        if torch_index:
            run(*pip, "torch", "--index-url", torch_index)
        run(*pip, archive)
        run(commands / "python", "-W", "error", "-c", IMPORTS)
        for arguments in COMMANDS:
            run(commands / "interpolants", *arguments, quiet=True)


if __name__ == "__main__":
    sys.exit(main())
