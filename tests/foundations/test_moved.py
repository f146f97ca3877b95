"""Old places of modules and members are refused with the new ones."""

import importlib
import re

import pytest


def test_what_never_was_is_not_found():
    with pytest.raises(ModuleNotFoundError, match=r"interpolants\.data\.no_such_module'$"):
        importlib.import_module("interpolants.data.no_such_module")
    with pytest.raises(ImportError, match="cannot import name 'NoSuchThing'"):
        from interpolants.data import NoSuchThing  # noqa: F401


def test_a_name_that_changed_is_named():
    with pytest.raises(ImportError, match=r"it was renamed to 'foundations\.FitWarning'"):
        from interpolants.guidance import HeavyWeightsWarning  # noqa: F401
    with pytest.raises(ImportError, match="it was renamed to 'MeanRateLoss'"):
        from interpolants.objectives import DriftLoss  # noqa: F401


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("interpolants.data.cells", "interpolants.data.sets.cells"),
        ("interpolants.foundations.student_t", "interpolants.paths.student_t"),
    ],
)
def test_a_module_that_moved_within_the_core_is_named(old, new):
    with pytest.raises(ModuleNotFoundError, match=rf"see {re.escape(new)}$"):
        importlib.import_module(old)


def test_a_class_that_moved_within_the_core_is_named():
    with pytest.raises(ImportError, match=r"see interpolants\.paths\.student_t$"):
        from interpolants.foundations import StudentT  # noqa: F401
