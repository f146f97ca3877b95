"""Old places of modules and members are refused with the new ones."""

import importlib

import pytest

import interpolants.methods

TRACKS = r"in 'interpolants\.data'; see interpolants\.apps\.trajectories\.data\.tracks$"


def test_a_module_that_moved_is_named():
    with pytest.raises(ModuleNotFoundError, match=f"No 'tracks' {TRACKS}"):
        importlib.import_module("interpolants.data.tracks")
    with pytest.raises(ModuleNotFoundError, match=f"No 'tracks' {TRACKS}"):
        from interpolants.data import tracks  # noqa: F401
    with pytest.raises(ModuleNotFoundError, match=r"interpolants\.data\.no_such_module'$"):
        importlib.import_module("interpolants.data.no_such_module")


def test_a_package_that_became_a_room_is_named():
    with pytest.raises(ModuleNotFoundError, match=r"see interpolants\.generative\.schrodinger$"):
        importlib.import_module("interpolants.methods.schrodinger.light_sb")


def test_a_member_that_moved_is_named():
    with pytest.raises(ImportError, match=f"No 'Tracks' {TRACKS}"):
        from interpolants.data import Tracks  # noqa: F401
    with pytest.raises(ImportError, match="cannot import name 'NoSuchThing'"):
        from interpolants.data import NoSuchThing  # noqa: F401


def test_a_member_that_moved_is_named_by_its_former_package():
    with pytest.raises(AttributeError, match=r"'Multimarginal'; see interpolants\.generative\.multimarginal"):
        interpolants.methods.Multimarginal  # noqa: B018


def test_a_name_that_changed_is_named():
    with pytest.raises(ImportError, match=r"it was renamed to 'foundations\.FitWarning'"):
        from interpolants.guidance import HeavyWeightsWarning  # noqa: F401
    with pytest.raises(ImportError, match="it was renamed to 'MeanRateLoss'"):
        from interpolants.objectives import DriftLoss  # noqa: F401
