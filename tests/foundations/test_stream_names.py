"""Random streams in the source have names, and a name is written in one place.

Two uses that share a stream see the same noise. So a stream is named where it is drawn; uses that are meant to share
import one constant.
"""

import ast
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import interpolants
from interpolants.foundations.randomness import key

SOURCE = Path(interpolants.__file__).parent
HOME = "interpolants.foundations.randomness"
# Place of the first part after the seed; where the stream is one argument it is a tuple.
PARTS, TUPLES = {"key": 1, "generator": 1, "like": 2}, {"BlockNoise": 1, "by_block": 2}
DRAWERS = PARTS | TUPLES


@dataclass
class Module:
    """What one file assigns, imports and calls."""

    name: str
    tree: ast.Module
    constants: dict[str, object] = field(default_factory=dict)
    imported: dict[str, tuple[str, str]] = field(default_factory=dict)
    calls: list[ast.Call] = field(default_factory=list)
    functions: list[ast.FunctionDef] = field(default_factory=list)

    def __post_init__(self):
        for node in self.tree.body:
            if isinstance(node, ast.Assign):
                self._assign(node.targets[0], node.value)
        for node in ast.walk(self.tree):  # once for all: a walk over all of the source takes a second
            if isinstance(node, ast.Call):
                self.calls.append(node)
            elif isinstance(node, ast.FunctionDef):
                self.functions.append(node)
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    self.imported[alias.asname or alias.name] = (node.module or "", alias.name)

    def _assign(self, target, value):
        if isinstance(target, ast.Tuple):
            values = value.elts if isinstance(value, ast.Tuple) else [value] * len(target.elts)
            for one, its in zip(target.elts, values, strict=True):
                self._assign(one, its)
        elif isinstance(target, ast.Name):
            self.constants[target.id] = value.value if isinstance(value, ast.Constant) else value

    def drawer(self, call):
        """Which function of the randomness module is called, or None."""
        match call.func:
            case ast.Name(id=name):
                home, original = self.imported.get(name, ("", ""))
                return original if home == HOME else None
            case ast.Attribute(value=ast.Name(id="randomness"), attr=name):
                return name
            case ast.Attribute(value=ast.Name(id="BlockNoise"), attr="like"):
                return "like"
        return None


class Modules(dict):
    """Modules by name, each parsed when it is first asked for: to parse all of the source takes seconds."""

    def __init__(self, files):
        super().__init__()
        self.files = files

    def __missing__(self, name):
        self[name] = Module(name, ast.parse(self.files[name]))
        return self[name]

    def with_words(self, pattern):
        """Those whose text has one of some words."""
        return [self[name] for name, text in self.files.items() if re.search(pattern, text)]


def parts_of(name, call):
    """The parts of the stream, without the seed; None if they are made elsewhere."""
    if name in PARTS:
        return call.args[PARTS[name] :]
    stream = call.args[TUPLES[name]]
    return stream.elts if isinstance(stream, ast.Tuple) else None


def streams_of(module):
    """Pairs of a call and the parts of its stream."""
    drawers = [(call, module.drawer(call)) for call in module.calls]
    found = [(call, parts_of(name, call)) for call, name in drawers if name in DRAWERS]
    return [(call, parts) for call, parts in found if parts is not None and call.args]


def helpers(modules):
    """Functions that are handed a stream, and its place among the arguments of a call."""
    found = {}
    for module in modules.with_words(r"\bstream\b"):
        for function in module.functions if module.name != HOME else ():
            names = [argument.arg for argument in function.args.args if argument.arg != "self"]
            if "stream" in names:
                found[function.name] = names.index("stream")
    return found


def handed(module, functions):
    """The streams that are handed to such functions."""
    for call in module.calls:
        name = getattr(call.func, "id", getattr(call.func, "attr", None))
        if name in functions and len(call.args) > functions[name]:
            stream = call.args[functions[name]]
            first = stream.elts[0] if isinstance(stream, ast.Tuple) and stream.elts else stream
            yield call, first


def look_up(modules, module, name):
    """Home and value of a constant, wherever it is imported from."""
    while name not in module.constants and name in module.imported:
        home, name = module.imported[name]
        if home not in modules.files:
            return None
        module = modules[home]
    return (module.name, name, module.constants[name]) if name in module.constants else None


def survey(modules):
    """Faults, and the places where each name is written."""
    faults, homes = [], defaultdict(set)

    def note(module, call, part, strict):
        place = f"{module.name}:{call.lineno}"
        if isinstance(part, ast.Constant):
            written = (place, part.value)
        elif isinstance(part, ast.Name) and (found := look_up(modules, module, part.id)):
            written = (f"{found[0]}.{found[1]}", found[2])
        else:
            return
        if isinstance(written[1], str):
            homes[written[1]].add(written[0])
        elif strict:
            faults.append(f"{place}: a stream needs a name, not {ast.unparse(part)}")

    functions = helpers(modules)
    called = "|".join(rf"\b{name}\(" for name in functions if name != "__init__")
    for module in modules.with_words(rf"randomness|BlockNoise|\.__init__\(|{called or 'stream'}"):
        for call, parts in streams_of(module):
            # The seed of a problem is its identity: it has no other draws.
            if not parts and ".problems." not in module.name:
                faults.append(f"{module.name}:{call.lineno}: a stream needs a name")
            for part in parts:
                note(module, call, part, strict=True)
        for call, part in handed(module, functions):
            note(module, call, part, strict=False)
    return faults, homes


@pytest.fixture(scope="module")
def source():
    files = {
        ".".join(["interpolants", *path.relative_to(SOURCE).with_suffix("").parts]): path.read_text()
        for path in sorted(SOURCE.rglob("*.py"))
    }
    return survey(Modules(files))


@pytest.mark.slow
def test_no_stream_is_a_bare_number(source):
    faults, _ = source
    assert faults == []


def test_each_name_is_written_once(source):
    _, homes = source
    assert len(homes) > 40
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}


def test_names_are_independent_streams(source):
    _, homes = source
    keys = {key(seed, name, count) for seed in range(20) for name in homes for count in range(5)}
    assert len(keys) == 20 * len(homes) * 5
    assert len({value & 0xFFFFFFFF for value in keys}) == len(keys)  # what PyTorch's CPU generator reads


@pytest.mark.parametrize(
    "line",
    [
        "generator(seed, 3)",
        "seeded(seed, 'start', 3)",
        "generator(seed)",
        "BlockNoise(seed, (5,), count=3, shape=())",
        "BlockNoise.like(x, seed, STREAM, level)",
        "by_block(draw, seed, (STREAM,), first=0, count=2)",
        "randomness.key(seed, OTHER)",
    ],
)
def test_the_scan_sees_bare_numbers(line):
    head = f"from {HOME} import BlockNoise, by_block, generator\nfrom {HOME} import generator as seeded\n"
    text = f"{head}from interpolants.b import OTHER\nSTREAM, SIZE = 1, 2\n{line}\n"
    faults, _ = survey(Modules({"interpolants.a": text, "interpolants.b": "OTHER = 7\n"}))
    assert len(faults) == 1


def test_the_scan_sees_a_name_that_is_written_twice():
    head = f"from {HOME} import BlockNoise, generator\n"
    files = {
        "interpolants.a": f"{head}SHARED = 'both'\ngenerator(seed, 'start')\ngenerator(seed, SHARED)\n",
        "interpolants.b": f"{head}from interpolants.a import SHARED\nBlockNoise(seed, (SHARED, k))\n"
        "def move(stream):\n    pass\nmove('start')\n",
    }
    faults, homes = survey(Modules(files))
    assert faults == []
    assert {name: len(places) for name, places in homes.items()} == {"both": 1, "start": 2}
