"""Paths named before there are data: fitted they are what the class's own fit gives, and mistakes are told at once."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.paths import KineticOptimal, ShortestPath, UnfittedPath

DATA = torch.randn(40, 1, 4, 4, generator=torch.Generator().manual_seed(0)).double()


def test_it_is_what_the_classes_fit_gives():
    made = UnfittedPath.of({"kind": "shortest_path", "fit": {"basis": "dct"}}).fit(DATA)
    assert_close(made.spectrum, ShortestPath.fit(DATA, "dct").spectrum)
    made = UnfittedPath.of({"kind": "kinetic_optimal", "fit": {"rows": 20, "draws": 2}}).fit(DATA)
    assert made.energy == KineticOptimal.fit(DATA[:20], draws=2).energy


@pytest.mark.parametrize("spec", ["linear", {"kind": "vp", "bmin": 0.2}, None])
def test_other_paths_are_left_alone(spec):
    assert UnfittedPath.of(spec) is None


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"kind": "shortest_paht", "fit": {}},
            "kind must be one of kinetic_optimal, shortest_path.*Did you mean",
        ),
        ({"kind": "linear", "fit": {}}, "kind must be one of .*Others have settings of their own"),
        (
            {"kind": "shortest_path", "fit": {"bases": "fft"}},
            "setting of fit .*'bases'.*Did you mean 'basis'",
        ),
        ({"kind": "shortest_path", "fit": "fft"}, "fit must be a table of settings"),
        (
            {"kind": "shortest_path", "fit": {}, "basis": "fft"},
            "beside fit there may be the kind alone, got 'basis'",
        ),
    ],
)
def test_mistakes_are_told_before_there_are_data(spec, message):
    with pytest.raises(InvalidInputError, match=message):
        UnfittedPath.of(spec)
