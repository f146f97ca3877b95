"""Which test files look at a module, the nearest first."""

import ast
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

from mutants.drawing import PACKAGE

# What looks at the repository and not at numbers, or starts programs and browsers of its own.
NOT_ASKED = ("test_site.py", "test_repository.py", "test_docs.py", "test_gallery.py", "test_contributing.py",
             "test_first_hour.py", "test_import_contract.py", "test_members_from_elsewhere.py",
             "test_cards.py", "torture", "web", "cli", "laws/test_method_laws", "mutants")  # fmt: skip


def nearest_tests(root: Path, module: str, most: int = 4) -> list[str]:
    """Test files that may see a fault in a module, in the order in which they are asked.

    First the proofs that cards name, the laws of the package and the file that is called like the module; then those
    that import from it; then those that use one of its public names; then the folder's others.

    Args:
        root: The folder that holds ``src`` and ``tests``.
        module: Path below ``src/interpolants``.
        most: Files.
    """
    stem, package = Path(module).stem, Path(module).parent.as_posix()
    dotted = "interpolants." + module.removesuffix(".py").replace("/", ".")
    names = _public(root / PACKAGE / module)
    ranks = {}
    for file, text in _texts(root).items():
        points = 0
        points += 100 * (file in _proofs(root).get(module, ()))
        here = Path(file).parent.as_posix() == f"tests/{package}"
        points += (50 if here else 10) * (Path(file).stem == f"test_{stem}")
        points += (20 if here else 5) * _alike(Path(file).stem.removeprefix("test_"), stem)
        points += 15 * (f"{dotted} import" in text)
        points += min(10, 3 * sum(bool(re.search(rf"\b{name}\b", text)) for name in names))
        points += 25 * here
        points += 60 * (Path(file).stem == f"test_{package.removesuffix('s')}_laws")  # asks every member
        if points > 2:
            ranks[file] = points
    return sorted(ranks, key=lambda file: (-ranks[file], file))[:most]


def _alike(one: str, other: str) -> bool:
    """Whether two names have a word in common, up to its ending: row_optimizer and optimizers."""
    words = [{word[:6] for word in name.split("_") if len(word) > 3} for name in (one, other)]
    return one == other or bool(words[0] & words[1])


@cache
def _texts(root: Path) -> dict[str, str]:
    files = sorted((root / "tests").rglob("test_*.py"))
    named = {file.relative_to(root).as_posix(): file for file in files}
    return {
        name: file.read_text()
        for name, file in named.items()
        if not any(name.startswith(f"tests/{other}") for other in NOT_ASKED)
    }


# Cards leave out what their place says, so that the library must read them: in a process of its own, because workers
# are forked from this one and must import the library after a mutant was put into it.
_READ = """
import json
from interpolants.foundations.cards import load_cards
print(json.dumps([(card.entry, card.proof.test) for card in load_cards("interpolants")]))
"""


@cache
def _proofs(root: Path) -> dict[str, set[str]]:
    """For each module with a card, the files that its cards name as proof."""
    there = {**os.environ, "PYTHONPATH": str(root / "src")}
    read = subprocess.run(
        [sys.executable, "-c", _READ], env=there, check=True, capture_output=True, text=True
    )
    found: dict[str, set[str]] = {}
    for entry, test in json.loads(read.stdout):
        module = entry.split(":")[0].removeprefix("interpolants.").replace(".", "/") + ".py"
        found.setdefault(module, set()).add(test.split("::")[0])
    return found


def _public(module: Path) -> list[str]:
    body = ast.parse(module.read_text()).body
    return [
        node.name
        for node in body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
