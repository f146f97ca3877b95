"""Type stubs of the packages that are filled from cards: `methods.py` writes them, and compares them with ``--check``.

``interpolants`` and packages such as ``interpolants.methods`` import their members on first use, which a type checker
cannot follow. Their ``__init__.pyi`` names every member with a card, and what the ``__init__.py`` itself exports.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from interpolants.foundations.card_file import Card
from interpolants.foundations.cards import load_cards

SOURCE = Path(__file__).parents[1] / "src" / "interpolants"
HEAD = "# Written by docs/methods.py from __init__.py and the cards.\n"


def stubs() -> dict[Path, str]:
    """Return the text of each stub."""
    cards = load_cards("interpolants")
    texts = {}
    for file in sorted(SOURCE.rglob("__init__.py")):
        text = file.read_text("utf-8")
        package = ".".join(("interpolants", *file.parent.relative_to(SOURCE).parts))
        if file.parent == SOURCE:
            names = {name: module for module, name in map(_entry, cards) if name in _methods(cards)}
            texts[file.with_suffix(".pyi")] = _stub(text, names, _subpackages())
        elif "carded(__name__)" in text:
            names = {n: m for m, n in map(_entry, cards) if m.startswith(f"{package}.") and "." not in n}
            texts[file.with_suffix(".pyi")] = _stub(text, names, [])
    return texts


def _entry(card: Card) -> tuple[str, str]:
    module, _, name = card.entry.partition(":")
    return module, name


def _methods(cards: tuple[Card, ...]) -> set[str]:
    return {_entry(card)[1] for card in cards if card.kind == "method"}


def _subpackages() -> list[str]:
    # A former home refuses to be imported.
    files = (
        file for file in SOURCE.glob("*/__init__.py") if "\nraise ImportError(" not in file.read_text("utf-8")
    )
    return sorted(file.parent.name for file in files)


def _stub(text: str, members: dict[str, str], subpackages: list[str]) -> str:
    """Return a stub: the exports of an ``__init__.py``, the members by module, and the subpackages."""
    tree = ast.parse(text)
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name[0] != "_"]
    exported = next((ast.literal_eval(n.value) for n in tree.body if _is_all(n)), [])  # type: ignore[attr-defined]
    used = {node.id for f in functions for node in ast.walk(f) if isinstance(node, ast.Name)}
    imported = {name: module for module, name in _imports(tree) if name in {*exported, *used}}
    homes = imported | {n: m for n, m in members.items() if n not in imported}
    homes = {name: module for name, module in homes.items() if not name.startswith("__")}
    public = {*exported, *members}
    lines = [f"from {m} import {n}{f' as {n}' if n in public else ''}" for n, m in homes.items()]
    lines += [f"from interpolants import {name} as {name}" for name in subpackages]
    parts = [HEAD + "\n".join(sorted(lines, key=str.casefold))]
    parts += ["__version__: str"] if "__version__" in exported else []
    for function in functions:
        function.body = [ast.Expr(ast.Constant(...))]
        parts.append(ast.unparse(function))
    return "\n\n".join([*parts, f"__all__ = {sorted(exported)!r}"]) + "\n"


def _is_all(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"


def _imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield module and name of each import at the top of a file, those for type checkers included."""
    for node in tree.body:
        inner = node.body if isinstance(node, ast.If) else [node]
        for statement in inner:
            if isinstance(statement, ast.ImportFrom) and statement.module:
                yield from ((statement.module, alias.name) for alias in statement.names)
