"""Syntax trees of the package's files, parsed once for all tests of a process. They are read and never changed."""

import ast
from functools import cache
from pathlib import Path

import interpolants

SOURCE = Path(interpolants.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """All nodes of a file's tree."""
    return tuple(ast.walk(tree_of(path)))


def module_name(path: Path, source: Path = SOURCE) -> str:
    """The dotted name of a file of the package."""
    return ".".join(path.relative_to(source.parent).with_suffix("").parts).removesuffix(".__init__")
