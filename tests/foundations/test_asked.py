"""Names in errors: of the user's call, whatever the library does below."""

import contextvars
import threading

import pytest

from interpolants.foundations.asked import asking, invalid, part, who
from interpolants.foundations.errors import InvalidInputError


def test_the_name_is_that_of_the_call_and_of_the_call_inside() -> None:
    with asking("DelayGenerator.fit"):
        assert who() == "DelayGenerator.fit"
        with asking("DelayGenerator"):  # made by itself
            assert who() == "DelayGenerator.fit"
        with asking("Bridge.fit"):
            assert who() == "DelayGenerator.fit (in Bridge.fit)"
            with asking("Bridge"), asking("Adam"):
                assert who() == "DelayGenerator.fit (in Adam)"
        assert who() == "DelayGenerator.fit"


def test_a_part_of_a_call_is_named() -> None:
    with asking("Bridge.fit"), part("held"):
        assert who() == "Bridge.fit (held)"
        with pytest.raises(
            InvalidInputError, match=r"^Bridge.fit \(held\): rows must be given, got 0\. Pass some\."
        ):
            raise invalid("rows must be given", 0, "Pass some.")


def test_the_name_is_restored_after_an_error() -> None:
    with asking("Bridge.fit"):
        with pytest.raises(ValueError, match="no"), asking("Adam"):
            raise ValueError("no")
        assert who() == "Bridge.fit"


def test_without_a_call_of_a_method_it_is_the_outermost_public_function() -> None:
    from interpolants.testing_of_names import outer  # type: ignore[import-not-found]

    assert outer() == "outer"


@pytest.fixture(autouse=True)
def module_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that says it is the library's: a public function that calls a private one."""
    import sys
    import types

    made = types.ModuleType("interpolants.testing_of_names")
    source = "from interpolants.foundations.asked import who\n"
    source += "def outer(): return _inner()\ndef _inner(): return who()\n"
    source += "class Kernel:\n    def __init__(self): self.name = who()\n    def gram(self): return who()\n"
    exec(source, made.__dict__)
    monkeypatch.setitem(sys.modules, made.__name__, made)


def test_a_class_and_its_functions_are_named() -> None:
    from interpolants.testing_of_names import Kernel

    assert Kernel().name == "Kernel"
    assert Kernel().gram() == "Kernel.gram"


def test_two_threads_have_names_of_their_own() -> None:
    seen: dict[str, str] = {}
    both = threading.Barrier(2)

    def ask(name: str) -> None:
        with asking(name):
            both.wait()
            seen[name] = who()
            both.wait()

    threads = [threading.Thread(target=ask, args=(name,)) for name in ("Bridge.fit", "Ridge.fit")]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert seen == {"Bridge.fit": "Bridge.fit", "Ridge.fit": "Ridge.fit"}
    with asking("Bridge.fit"):
        assert contextvars.copy_context().run(who) == "Bridge.fit"
