"""The faults that people make in formulas, as changes of a syntax tree's expressions."""

import ast
from collections.abc import Callable, Iterator

from mutants.mutant import Mutant

Change = tuple[ast.expr, str]  # an expression, and the text that takes its place
TIMES = {"t", "s", "u", "time", "times", "at"}
SMALL = {"eps", "tiny", "epsilon", "jitter", "floor", "smallest"}
COUNTS = {"i", "j", "k", "n", "step", "steps", "index", "count", "rank", "ndim"}
GRIDS = {"linspace", "arange", "range"}


def changes(source: str, module: str) -> list[Mutant]:
    """All mutants of a module, in the order of its lines.

    Messages, annotations, decorators, defaults and conditions of refusals are left alone: they are no formulas.

    Args:
        source: Text of the module.
        module: Its path below the package, for the name.
    """
    starts, lines, found = _line_starts(source), source.splitlines(), {}
    for node in _formulas(ast.parse(source)):
        for operator, find in OPERATORS.items():
            for place, after in find(node, source):
                span = _span(place, starts, source)
                before = source[span[0] : span[1]]
                found[(*span, operator, after)] = Mutant(
                    module, place.lineno, *span, operator, before, after, lines[place.lineno - 1].strip()
                )
    return sorted(found.values())


# --- the operators -------------------------------------------------------------------------------------------


def sign(node: ast.expr, source: str) -> Iterator[Change]:
    """``a + b`` for ``a - b`` and the reverse; ``-a`` without its minus."""
    match node:
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right) if not _textual(node):
            other = "-" if isinstance(op, ast.Add) else "+"
            yield node, f"({_text(left, source)} {other} ({_text(right, source)}))"
        case ast.UnaryOp(op=ast.USub(), operand=operand) if not isinstance(operand, ast.Constant):
            yield node, f"({_text(operand, source)})"


def factor(node: ast.expr, source: str) -> Iterator[Change]:
    """Twice a product or a quotient."""
    match node:
        case ast.BinOp(op=ast.Mult() | ast.Div()) if not _textual(node):
            yield node, f"(2 * ({_text(node, source)}))"


def power(node: ast.expr, source: str) -> Iterator[Change]:
    """A power that is one too low; a root that is left out."""
    match node:
        case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=2)):
            yield node, f"({_text(left, source)})"
        case ast.Call(func=ast.Attribute(value=value, attr="square" | "sqrt"), args=[]):
            yield node, f"({_text(value, source)})"
        case ast.Call(func=ast.Attribute(attr="sqrt"), args=[argument], keywords=[]):
            yield node, f"({_text(argument, source)})"


def swapped_time(node: ast.expr, source: str) -> Iterator[Change]:
    """``1 - t`` for ``t``, where it is a factor, a term or an argument, and the reverse."""
    match node:
        case ast.BinOp(left=ast.Constant(value=1 | 1.0), op=ast.Sub(), right=ast.Name(id=name) as time) if (
            name in TIMES
        ):
            yield node, _text(time, source)
        case ast.BinOp(left=left, right=right):
            for side in (left, right):
                if isinstance(side, ast.Name) and side.id in TIMES:
                    yield side, f"(1 - {side.id})"
        case ast.Call(func=called, args=arguments) if not _name_of(called).endswith("_like"):
            for argument in arguments:
                if isinstance(argument, ast.Name) and argument.id in {"t", "s"}:
                    yield argument, f"(1 - {argument.id})"


def no_floor(node: ast.expr, source: str) -> Iterator[Change]:
    """A small number that guards a division or a logarithm, left out."""
    match node:
        case ast.BinOp(left=left, op=ast.Add(), right=right) if _small(right):
            yield node, f"({_text(left, source)})"
        case ast.Call(func=ast.Attribute(value=value, attr="clamp" | "clamp_min" | "clamp_max")) if not (
            isinstance(value, ast.Name) and value.id == "torch"
        ):
            yield node, f"({_text(value, source)})"


def end_value(node: ast.expr, source: str) -> Iterator[Change]:
    """The other end: 0 for 1, the first for the last, ``<=`` for ``<``."""
    match node:
        case ast.Call(func=ast.Attribute(attr="zeros_like" | "ones_like" as attr) as called):
            other = {"zeros_like": "ones_like", "ones_like": "zeros_like"}[attr]
            yield called, f"{_text(called.value, source)}.{other}"
        case ast.Subscript(slice=ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=1)) as index):
            yield index, "0"
        case ast.Subscript(slice=ast.Constant(value=0) as index):
            yield index, "-1"
        case ast.Compare(
            left=left, ops=[ast.Lt() | ast.LtE() | ast.Gt() | ast.GtE() as op], comparators=[right]
        ) if _counted(left) or _counted(right):  # of two real numbers, equality has no weight
            other = {ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">"}[type(op)]
            yield node, f"({_text(left, source)} {other} {_text(right, source)})"
        case ast.Call(args=arguments):
            for argument in arguments:
                value = argument.value if isinstance(argument, ast.Constant) else None
                if type(value) is float and value in (0.0, 1.0):
                    yield argument, repr(1.0 - value)


def off_by_one(node: ast.expr, source: str) -> Iterator[Change]:
    """One point, step or place too many or too few."""
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=[*_, last]) if (
            name in GRIDS and not isinstance(last, ast.Starred)
        ):
            yield (
                last,
                f"({_text(last, source)} + 1)" if name == "linspace" else f"({_text(last, source)} - 1)",
            )
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub(), right=ast.Constant(value=1)):
            yield node, f"({_text(left, source)})"
        case ast.Slice(lower=ast.Constant(value=1) as lower):
            yield lower, "0"
        case ast.Slice(upper=ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=1)) as upper):
            yield upper, "-2"


OPERATORS: dict[str, Callable[[ast.expr, str], Iterator[Change]]] = {
    "sign": sign, "factor": factor, "power": power, "swapped time": swapped_time, "no floor": no_floor,
    "end value": end_value, "off by one": off_by_one,
}  # fmt: skip


# --- where formulas stand ------------------------------------------------------------------------------------


def _formulas(tree: ast.AST) -> Iterator[ast.expr]:
    """The expressions inside functions that may hold a formula."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name not in ("__repr__", "__str__", "__post_init__"):
            for statement in node.body:
                yield from _below(statement)


def _below(node: ast.AST) -> Iterator[ast.expr]:
    """A node and what is below it, without messages, annotations, inner functions' heads and refusals."""
    if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom):
        return
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return  # an inner function is visited by itself
    if isinstance(node, ast.If) and any(isinstance(inner, ast.Raise) for inner in node.body):
        for other in node.orelse:
            yield from _below(other)
        return
    if isinstance(node, ast.Call) and _name_of(node.func).startswith(("check", "require", "refuse", "warn")):
        return
    if isinstance(node, ast.expr | ast.slice):
        yield node
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _below(child)


def _name_of(called: ast.expr) -> str:
    return (
        called.attr
        if isinstance(called, ast.Attribute)
        else called.id
        if isinstance(called, ast.Name)
        else ""
    )


def _textual(node: ast.BinOp) -> bool:
    """Whether an operation may be one of texts, lists or shapes."""
    parts = [node.left, node.right]
    return any(
        isinstance(part, ast.JoinedStr | ast.List | ast.Tuple | ast.ListComp | ast.Dict)
        or (isinstance(part, ast.Constant) and not isinstance(part.value, int | float))
        or (isinstance(part, ast.BinOp) and _textual(part))
        or (isinstance(part, ast.Attribute | ast.Subscript) and "shape" in ast.dump(part))
        for part in parts
    )


def _counted(node: ast.expr) -> bool:
    """Whether an expression is a whole number, by its name."""
    return _name_of(node) in COUNTS or (
        isinstance(node, ast.Call) and _name_of(node.func) in ("len", "numel")
    )


def _small(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant) and isinstance(node.value, float):
        return 0 < node.value < 1e-2
    return _name_of(node).lower().lstrip("_") in SMALL


# --- text ----------------------------------------------------------------------------------------------------


def _text(node: ast.expr, source: str) -> str:
    text = ast.get_source_segment(source, node)
    assert text is not None
    return text


def _line_starts(source: str) -> list[int]:
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return starts


def _span(node: ast.expr, starts: list[int], source: str) -> tuple[int, int]:
    """Characters of a node in the file; syntax trees count columns in bytes of UTF-8."""
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    lines = source.splitlines(keepends=True)

    def at(line: int, column: int) -> int:
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    return at(node.lineno, node.col_offset), at(node.end_lineno, node.end_col_offset)
