"""Imports of the tracks from where they were before they moved into this room name the new place."""

import importlib

import pytest

TRACKS = r"in 'interpolants\.data'; see interpolants\.apps\.trajectories\.data\.tracks$"


def test_a_module_that_moved_is_named():
    with pytest.raises(ModuleNotFoundError, match=f"No 'tracks' {TRACKS}"):
        importlib.import_module("interpolants.data.tracks")
    with pytest.raises(ModuleNotFoundError, match=f"No 'tracks' {TRACKS}"):
        from interpolants.data import tracks  # noqa: F401


def test_a_member_that_moved_is_named():
    with pytest.raises(ImportError, match=f"No 'Tracks' {TRACKS}"):
        from interpolants.data import Tracks  # noqa: F401
