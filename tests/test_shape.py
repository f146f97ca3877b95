"""Limits of size, so that files, classes and functions stay as small as they are read."""

import ast
import statistics

from source_trees import MODULES, nodes_of

FILE, CLASS, MEDIAN, NINE_TENTHS = 500, 350, 5, 18


def code_lines(function, lines):
    """Lines without the docstring, comments and blanks."""
    is_text = isinstance(function.body[0], ast.Expr) and isinstance(function.body[0].value, ast.Constant)
    body = function.body[1 if is_text else 0 :]
    told = [] if not body else lines[body[0].lineno - 1 : function.end_lineno]
    return sum(1 for line in told if line.strip() and not line.strip().startswith("#"))


def test_files_and_classes_are_short():
    for path in MODULES:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= FILE, path
        for node in nodes_of(path):
            if isinstance(node, ast.ClassDef):
                assert node.end_lineno - node.lineno < CLASS, f"{path}: {node.name}"


def test_functions_are_short():
    sizes = []
    for path in MODULES:
        lines = path.read_text(encoding="utf-8").splitlines()
        sizes += [
            code_lines(node, lines)
            for node in nodes_of(path)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
    assert statistics.median(sizes) <= MEDIAN
    assert statistics.quantiles(sizes, n=10)[-1] <= NINE_TENTHS
