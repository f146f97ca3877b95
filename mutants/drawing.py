"""Which mutants are tried: drawn by a seed before anyone has looked at them."""

from collections import defaultdict
from hashlib import sha256
from pathlib import Path

from mutants.mutant import Mutant
from mutants.operators import changes

PACKAGE = Path("src/interpolants")
CORE = ("paths", "fields", "objectives", "dynamics", "solvers", "likelihood", "couplings", "guidance",
        "diagnostics", "kernels", "operators", "pde", "nets", "metrics", "training",
        "problems")  # fmt: skip
ROOMS = ("methods", "apps", "sciml", "generative")
PER_MODULE, PER_ROOM_MODULE, FEWEST = 5, 1, 3


def drawn(root: Path, seed: int = 0) -> list[Mutant]:
    """The mutants of a source tree.

    From each numerical module of the core 5, and from each of a room 1 and in all at least 3 of the room. A module is
    numerical if it has at least 3 places for a fault. As many kinds of fault as possible come from each module.

    Args:
        root: The folder that holds ``src``.
        seed: Another draw.
    """
    found = []
    for package in CORE:
        for module in _modules(root, package):
            found += _pick(_all(root, module), PER_MODULE, seed)
    for ring in ROOMS:
        for room in sorted(path for path in (root / PACKAGE / ring).iterdir() if path.is_dir()):
            choices = [_all(root, module) for module in _modules(root, f"{ring}/{room.name}")]
            choices = [every for every in choices if every]
            each = max(PER_ROOM_MODULE, -(-FEWEST // max(len(choices), 1)))
            found += [one for every in choices for one in _pick(every, each, seed)]
    return found


def share(every: list[Mutant], scale: float) -> list[Mutant]:
    """The same part of a draw each time: those whose name lies in the first share of all names."""
    return [one for one in every if int(one.name, 16) < scale * 16**12]


def _modules(root: Path, package: str) -> list[str]:
    files = sorted((root / PACKAGE / package).rglob("*.py"))
    return [file.relative_to(root / PACKAGE).as_posix() for file in files if file.name != "__init__.py"]


def _all(root: Path, module: str) -> list[Mutant]:
    every = changes((root / PACKAGE / module).read_text(), module)
    return every if len(every) >= FEWEST else []


def _pick(every: list[Mutant], count: int, seed: int) -> list[Mutant]:
    """Some, one kind of fault after the other, in an order that the seed shuffles."""
    kinds = defaultdict(list)
    for one in sorted(every, key=lambda one: sha256(f"{seed} {one.name} {one.line}".encode()).digest()):
        kinds[one.operator].append(one)
    rows = sorted(kinds.values(), key=lambda row: sha256(f"{seed} {row[0].name}".encode()).digest())
    turns = [row[k] for k in range(max(map(len, rows), default=0)) for row in rows if k < len(row)]
    unique = {one.name: one for one in reversed(turns)}  # the same change of the same line twice is one
    return [one for one in turns if unique[one.name] is one][:count]
