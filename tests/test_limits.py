"""Limits that the library keeps, with a list of today's exceptions, which may only shrink.

Beyond them a function is hard to follow or to call, and a class hard to own: cognitive complexity of 10, 8 arguments
(what is packed into a mapping or ``**kwargs`` is not fewer), 4 classes between a method and ``Method``. No two modules
import each other, not even for types alone.
"""

from functools import cache
from pathlib import Path

from benchmarks import structure

from interpolants.foundations import registry
from interpolants.framework.method import Method

LIST = Path(__file__).with_name("limits.txt")
DEEP = 4  # classes between a method and Method, itself counted


@cache
def package() -> list[structure.Module]:
    return structure.modules(Path(__file__).parent.parent / "src" / "interpolants")


def depth(kind: type) -> int:
    """The longest way up to Method."""
    return (
        0 if kind is Method else 1 + max(depth(base) for base in kind.__bases__ if issubclass(base, Method))
    )


def test_no_function_or_class_beyond_the_list():
    now = structure.hard(package())
    kinds = registry.members("method").values()
    now |= {
        f"depth {kind.__module__}:{kind.__qualname__}": depth(kind) for kind in kinds if depth(kind) > DEEP
    }
    listed = {
        name: int(much)
        for much, name in (line.split(" ", 1) for line in LIST.read_text("utf-8").splitlines())
    }
    worse = [
        f"{much} {name}, listed {listed.get(name, 0)}"
        for name, much in now.items()
        if much > listed.get(name, 0)
    ]
    assert not worse, "over the limits, and not (or with less) in tests/limits.txt: make them simpler"
    better = [
        f"{now.get(name, 0)} {name}, listed {much}"
        for name, much in listed.items()
        if now.get(name, 0) < much
    ]
    assert not better, "simpler than tests/limits.txt says: lower the number, or drop the line"


def test_no_modules_import_each_other():
    assert structure.circles(package()) == []
