"""How much code there is, what it does, and how it hangs together: figures of a package, from its source alone.

A line is *code* if it is neither blank nor comment nor docstring. It *computes* if it stands in the body of a function
that does arithmetic or calls a function of an array, messages and refusals apart. One rule for every package, so that
shares can be compared; it errs for each in the same way (azula 0.61, zuko 0.43).
"""

import ast
import io
import tokenize
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

# Modules whose functions compute, and methods of arrays that do, by name.
_NUMERIC = ("torch", "np", "numpy", "math", "F", "nn", "scipy", "special", "linalg")
_METHODS = frozenset(
    """
    abs acos amax amin argmax argmin argsort bmm broadcast_to cat chunk clamp clip conj cos cosh cumprod cumsum
    det diag diagonal diff div dot einsum erf erfinv exp expand expm1 flatten flip floor fmod gather inverse
    isfinite isnan lerp lgamma log log1p logdet logsumexp masked_fill matmul max mean median min mm movedim mul
    mv nanmean norm outer permute pow prod quantile rad2deg reciprocal relu repeat_interleave reshape roll round
    rsqrt sigmoid sign sin sinc sinh softmax softplus sort sqrt square squeeze std sub sum swapaxes tan tanh
    transpose tril triu trunc unfold unsqueeze var where
    """.split()  # noqa: SIM905  # a list of strings would be a page
)
_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.MatMult, ast.Pow, ast.Mod, ast.FloorDiv)
# Functions beyond which a function is hard to follow, or to call.
_COMPLEX, _MANY = 10, 8


@dataclass(frozen=True)
class Module:
    """A file of a package: its name with dots, and its text."""

    name: str
    path: Path

    @cached_property
    def text(self) -> str:
        """The source."""
        return self.path.read_text("utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """The source as a tree."""
        return ast.parse(self.text)

    @cached_property
    def code(self) -> frozenset[int]:
        """Numbers of its lines of code."""
        skipped = {"COMMENT", "NL", "NEWLINE", "INDENT", "DEDENT", "ENDMARKER"}
        lines: set[int] = set()
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if tokenize.tok_name[token.type] not in skipped:
                lines.update(range(token.start[0], token.end[0] + 1))
        return frozenset(lines - self._sentences)

    @cached_property
    def _sentences(self) -> set[int]:
        """Lines of docstrings and of sentences under fields."""
        found: set[int] = set()
        for node in ast.walk(self.tree):
            if (
                isinstance(node, ast.Expr)
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
            ):
                found.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        return found

    @cached_property
    def computing(self) -> frozenset[int]:
        """Numbers of its lines of code that compute."""
        found: set[int] = set()
        for function in self.functions:
            if any(_computes(part) for node in function.body for part in _own_parts(node)):
                found.update(
                    *(range(node.lineno, (node.end_lineno or node.lineno) + 1) for node in function.body)
                )
        return frozenset(found & self.code)

    @cached_property
    def functions(self) -> tuple[ast.FunctionDef | ast.AsyncFunctionDef, ...]:
        """All functions and methods."""
        return tuple(n for n in ast.walk(self.tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))

    @cached_property
    def imports(self) -> frozenset[str]:
        """Modules that it imports when it is run or checked for types, as written."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module)
                found.update(f"{node.module}.{alias.name}" for alias in node.names)
        return frozenset(found)


def _own_parts(node: ast.stmt) -> Iterator[ast.AST]:
    """All statements within one, without refusals and what is defined inside."""
    if not isinstance(node, ast.Raise | ast.Assert | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                yield from _own_parts(child)
            elif not isinstance(child, ast.ExceptHandler | ast.match_case):
                yield child
            else:
                for inner in child.body:
                    yield from _own_parts(inner)
        if isinstance(node, ast.AugAssign):
            yield ast.BinOp(node.target, node.op, node.value)


def _computes(part: ast.AST) -> bool:
    """Whether there is arithmetic or a call of an array's function in it, outside of messages."""
    if isinstance(part, ast.JoinedStr):
        return False
    if isinstance(part, ast.Call) and _last(part.func) in ("invalid", "warn", "tell"):
        return False
    if isinstance(part, ast.BinOp) and isinstance(part.op, _ARITHMETIC) and not _is_text(part):
        return True
    function = part.func if isinstance(part, ast.Call) else None
    if isinstance(function, ast.Attribute) and (_first(function) in _NUMERIC or function.attr in _METHODS):
        return True
    return any(_computes(child) for child in ast.iter_child_nodes(part))


def _is_text(part: ast.AST) -> bool:
    """Whether something is put together of words, or of lists."""
    kinds = (ast.JoinedStr, ast.List, ast.ListComp, ast.Tuple, ast.Dict)
    if isinstance(part, ast.BinOp):
        return _is_text(part.left) or _is_text(part.right)
    return isinstance(part, kinds) or (isinstance(part, ast.Constant) and isinstance(part.value, str))


def _first(node: ast.AST) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _last(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def complexity(node: ast.AST, nested: int = 0) -> int:
    """Cognitive complexity: one for each branch, and one more for each branch around it (Campbell, 2018)."""
    found = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            found += complexity(child, nested + 1)
        elif isinstance(child, ast.If):
            found += _branch(child, nested)
        elif isinstance(
            child, ast.For | ast.AsyncFor | ast.While | ast.IfExp | ast.ExceptHandler | ast.match_case
        ):
            found += 1 + nested + complexity(child, nested + 1)
        elif isinstance(child, ast.BoolOp):
            found += 1 + complexity(child, nested)
        else:
            found += complexity(child, nested)
    return found


def _branch(node: ast.If, nested: int, *, other: bool = False) -> int:
    """An ``if`` with its ``elif`` and ``else``, which cost one whatever is around them."""
    found = 1 if other else 1 + nested
    found += complexity(node.test, nested) + sum(complexity(_Body([part]), nested + 1) for part in node.body)
    if len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If):
        return found + _branch(node.orelse[0], nested, other=True)
    return found + bool(node.orelse) + sum(complexity(_Body([part]), nested + 1) for part in node.orelse)


class _Body(ast.AST):
    """Statements as the children of a node."""

    _fields = ("body",)

    def __init__(self, body: list[ast.stmt]) -> None:
        super().__init__(body=body)


def modules(root: Path) -> list[Module]:
    """All modules below the folder of a package."""
    found = []
    for path in sorted(root.rglob("*.py")):
        parts = [root.name, *path.relative_to(root).with_suffix("").parts]
        found.append(Module(".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


def circles(package: list[Module]) -> list[list[str]]:
    """Modules that import each other, those under ``TYPE_CHECKING`` too; packages' front doors are left out."""
    known = {module.name: module for module in package if module.path.name != "__init__.py"}
    leads = {
        name: {other for other in module.imports if other in known} - {name} for name, module in known.items()
    }
    return [sorted(group) for group in _components(leads) if len(group) > 1]


def _components(leads: Mapping[str, set[str]]) -> Iterator[list[str]]:
    """Strongly connected components, by Tarjan's algorithm without recursion."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    for root in leads:
        work = [(root, iter(leads[root]))] if root not in order else []
        if work:
            order[root] = low[root] = len(order)
            stack.append(root)
        while work:
            name, others = work[-1]
            for other in others:
                if other not in order:
                    order[other] = low[other] = len(order)
                    stack.append(other)
                    work.append((other, iter(leads[other])))
                    break
                if other in stack:
                    low[name] = min(low[name], order[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == order[name]:
                    at = stack.index(name)
                    yield stack[at:]
                    del stack[at:]


def called_once(package: list[Module]) -> tuple[int, int]:
    """Private functions that are named once beside their definition in their own module, and all private ones."""
    once = total = 0
    for module in package:
        named = Counter(
            node.id if isinstance(node, ast.Name) else node.attr
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Name | ast.Attribute)
        )
        own = [f.name for f in module.functions if f.name.startswith("_") and not f.name.startswith("__")]
        total += len(own)
        once += sum(named[name] == 1 for name in own)
    return once, total


def hard(package: list[Module]) -> dict[str, int]:
    """Functions over a limit: ``complexity module:Class.function`` or ``arguments module:...`` -> how much."""
    found: dict[str, int] = {}
    for module in package:
        for name, function in _named(module.tree):
            for limit, most, much in (
                ("complexity", _COMPLEX, complexity(function)),
                ("arguments", _MANY, len(_arguments(function))),
            ):
                if much > most:
                    found[f"{limit} {module.name}:{name}"] = much
    return found


def _named(node: ast.AST, within: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """All functions of a tree, by their names with classes and functions around them."""
    for child in ast.iter_child_nodes(node):
        scope = isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        name = f"{within}{child.name}" if scope else ""
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield name, child
        yield from _named(child, f"{name}." if scope else within)


def ring_of(name: str) -> str:
    """The core, or the ring of a module."""
    return next((ring for ring in ("apps", "sciml", "generative") if name.split(".")[1:2] == [ring]), "core")


def rooms(package: list[Module]) -> dict[str, list[Module]]:
    """Room, such as ``apps.weather``, -> its modules."""
    found: dict[str, list[Module]] = {}
    for module in package:
        parts = module.name.split(".")[1:]
        if ring_of(module.name) != "core" and len(parts) > 2:
            found.setdefault(".".join(parts[:2]), []).append(module)
    return found


def opened(room: list[Module], package: list[Module]) -> list[Module]:
    """What the reader of a room opens: its modules, and those from which they import a name."""
    asked = set().union(*(module.imports for module in room))
    return [m for m in package if m in room or (m.name in asked and m.path.name != "__init__.py")]


def run(*, package: str = "src/interpolants", worst: int = 0, report: Callable[[str], None] = print) -> None:
    """Lines, share of code that computes, circles and hard functions of a package, from its source.

    Args:
        package: Folder of the package.
        worst: How many of the functions over a limit to name, the furthest first.
        report: Called with each line of the answer.
    """
    root = Path(package)
    found = modules(root)
    report("| part | files | lines | code | computes | cards: files | lines |\n| --- " + "| ---: " * 6 + "|")
    rings = sorted({ring_of(module.name) for module in found}, key=lambda ring: (ring != "core", ring))
    for ring in [*rings, "all"] if len(rings) > 1 else ["all"]:
        part = [module for module in found if ring in ("all", ring_of(module.name))]
        code, computing = sum(len(m.code) for m in part), sum(len(m.computing) for m in part)
        lines = sum(m.text.count("\n") for m in part)
        own = [
            c
            for c in root.rglob("*.card.toml")
            if ring in ("all", ring_of(f"{root.name}.{c.relative_to(root).parts[0]}"))
        ]
        cards = sum(c.read_text("utf-8").count("\n") for c in own)
        report(
            f"| {ring} | {len(part)} | {lines:,} | {code:,} | {computing / code:.1%} | {len(own)} | {cards:,} |"
        )
    each = rooms(found)
    if each:
        read = [opened(room, found) for room in each.values()]
        files = sum(map(len, read)) / len(read)
        code = sum(len(m.code) for part in read for m in part) / len(read)
        beyond = sum(len(m.code - m.computing) for room in each.values() for m in room) / len(each)
        report(
            f"\n{len(each)} rooms: a reader of one opens {files:.0f} files of {code:,.0f} lines of code (mean);"
        )
        report(f"{beyond:,.0f} lines of code of a room do not compute (mean)")
    once, private = called_once(found)
    over = hard(found)
    functions = sum(len(module.functions) for module in found)
    report(f"\nfunctions: {functions:,}; private: {private:,}, named once: {once:,}")
    report(f"cognitive complexity above {_COMPLEX}: {sum(name.startswith('complexity') for name in over)}")
    report(f"more than {_MANY} arguments: {sum(name.startswith('arguments') for name in over)}")
    for group in circles(found):
        report(f"circle of {len(group)}: {', '.join(group)}")
    for name in sorted(over, key=lambda name: -over[name])[:worst]:
        report(f"{over[name]} {name}")


def _arguments(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    given = node.args
    names = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return [name for name in names if name not in ("self", "cls")]
