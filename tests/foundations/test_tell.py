"""Warnings name the caller's own line, through whatever calls back into the library."""

import contextlib
import functools

import pytest
import torch

from interpolants.foundations import tell as module
from interpolants.foundations.renamed import RENAMED
from interpolants.foundations.tell import FitWarning, InterpolantsWarning, tell


def line_of(call):
    with pytest.warns(FitWarning, match="Nobody: nothing") as told:
        call()
    return told[0].filename, told[0].lineno


def test_the_line_is_that_of_the_caller():
    file, line = line_of(lambda: tell(FitWarning, "Nobody: nothing"))
    assert (file, line) == (__file__, test_the_line_is_that_of_the_caller.__code__.co_firstlineno + 1)


def test_frames_of_the_library_and_of_what_calls_it_back_are_passed_over(monkeypatch):
    """A function that is compiled as one of the library's, called by a module of torch, in a context manager."""
    source = "def deep(x):\n    tell(FitWarning, 'Nobody: nothing')\n    return x"
    scope = {"tell": tell, "FitWarning": FitWarning}
    exec(compile(source, f"{module._OWN}deep.py", "exec"), scope)

    class Net(torch.nn.Module):
        forward = staticmethod(scope["deep"])

    @contextlib.contextmanager
    def within():
        yield

    def user():
        with within():
            return functools.singledispatch(Net())(torch.zeros(1))

    file, line = line_of(user)
    assert (file, line) == (__file__, user.__code__.co_firstlineno + 2)


def test_former_classes_are_refused_with_the_six():
    six = {kind.__name__ for kind in InterpolantsWarning.__subclasses__()}
    assert len(six) == 6
    former = {old: new for old, new in RENAMED.items() if old.endswith("Warning")}
    assert len(former) == 60
    assert {new.removeprefix("foundations.") for new in former.values()} == six
