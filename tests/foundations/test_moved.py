"""Old places of modules and members are refused with the new ones."""

import importlib

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
