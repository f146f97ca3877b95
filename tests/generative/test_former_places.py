"""Packages and members that became rooms of this ring are refused with the new place."""

import importlib

import pytest

import interpolants.methods


def test_a_package_that_became_a_room_is_named():
    with pytest.raises(ModuleNotFoundError, match=r"see interpolants\.generative\.schrodinger$"):
        importlib.import_module("interpolants.methods.schrodinger.light_sb")


def test_a_member_that_moved_is_named_by_its_former_package():
    with pytest.raises(AttributeError, match=r"'Multimarginal'; see interpolants\.generative\.multimarginal"):
        interpolants.methods.Multimarginal  # noqa: B018
