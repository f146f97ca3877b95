"""Bridges whose path is made from the data, and those that learn a log density with a penalty on its equation."""

import warnings

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants import Bridge
from interpolants.foundations.errors import InvalidInputError
from interpolants.paths import KineticOptimal, OneSidedLinear, ShortestPath
from interpolants.problems.gaussian_mixture import GaussianMixture

TINY = {"net": {"kind": "mlp", "width": 16, "depth": 2}, "steps": 20, "batch_size": 64, "seed": 0}
DATA = (
    GaussianMixture.random(3, 2, 1.0, 0)
    .sample(300, generator=torch.Generator().manual_seed(0))
    .float()
    .numpy()
)
PENALTY = {"kind": "fokker_planck_residual", "weight": 0.1, "points": 32}


def test_the_path_is_fitted_to_the_data_in_the_networks_units_and_kept_on_disk(tmp_path):
    path = {"kind": "kinetic_optimal", "fit": {"rows": 50, "draws": 2}}
    bridge = Bridge(path, heads="denoised", held_out=0, **TINY)
    assert isinstance(bridge.first_path, OneSidedLinear)  # it stands for what is not there yet
    bridge.fit(x1=DATA, progress=False)
    wanted = KineticOptimal.fit(bridge.frame.encode(torch.from_numpy(DATA))[:50], draws=2)
    assert isinstance(bridge.fitted_path, KineticOptimal)
    assert_close(bridge.fitted_path.energy, wanted.energy)
    again = Bridge.load(bridge.save(tmp_path / "bridge"))
    assert np.array_equal(again.sample(20, seed=1), bridge.sample(20, seed=1))
    assert (
        Bridge(**bridge.get_params()).fit(x1=DATA[:100], progress=False).fitted_path.energy
        != bridge.fitted_path.energy
    )


@pytest.mark.slow
def test_the_documented_heads_have_densities_on_paths_made_from_the_data():
    """Ten thousand nats below the truth where ``denoised`` was learnt alone, as the pages once said."""
    known = GaussianMixture.random(3, 2, 1.0, 0)
    fresh = known.sample(40, generator=torch.Generator().manual_seed(9))
    net = {"kind": "mlp", "width": 32, "depth": 2}
    for kind in ("kinetic_optimal", "shortest_path"):
        fit = {"rows": 50, "draws": 1} if kind == "kinetic_optimal" else {"basis": "dct"}
        settings = {"net": net, "steps": 300, "batch_size": 128, "seed": 0}
        bridge = Bridge({"kind": kind, "fit": fit}, heads=["denoised", "noise"], **settings)
        bridge.fit(x1=DATA, progress=False)
        found = bridge.log_prob(fresh.float(), method="midpoint", n_steps=60)
        assert abs(float(found.mean() - known.log_prob(fresh).mean())) < 0.7


def test_densities_from_the_denoised_state_alone_come_with_a_warning():
    bridge = Bridge("one_sided_linear", heads="denoised", precondition=False, **TINY)
    bridge.fit(x1=DATA, progress=False)
    with pytest.warns(UserWarning, match=r"by the noise that vanishes at t=1.*precondition=True, or heads="):
        bridge.log_prob(DATA[:3], method="midpoint", n_steps=5)
    bridge = Bridge("one_sided_linear", heads="denoised", **TINY)  # preconditioned unasked
    bridge.fit(x1=DATA, progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bridge.log_prob(DATA[:3], method="midpoint", n_steps=5)


def test_a_path_in_frequencies_is_fitted_to_images(tmp_path):
    images = torch.randn(64, 1, 4, 4, generator=torch.Generator().manual_seed(1)).cumsum(-1)
    bridge = Bridge({"kind": "shortest_path", "fit": {}}, heads="denoised", **TINY).fit(
        x1=images, progress=False
    )
    assert isinstance(bridge.fitted_path, ShortestPath)
    again = Bridge.load(bridge.save(tmp_path / "bridge"))
    assert_close(again.fitted_path.spectrum, bridge.fitted_path.spectrum)
    assert torch.equal(again.sample(5, seed=1, method="ddim"), bridge.sample(5, seed=1, method="ddim"))


def test_a_log_density_is_learnt_with_its_penalty_and_kept_on_disk(tmp_path):
    bridge = Bridge("one_sided_linear", heads="log_density", penalties=[PENALTY], **TINY)
    bridge.fit(x1=DATA, progress=False)
    assert {"log_density", "fokker_planck"} <= set(bridge.history[-1])
    u = bridge.fields.log_density_of()
    assert u(torch.zeros(3, 2), torch.full((3,), 0.5)).shape == (3,)
    again = Bridge.load(bridge.save(tmp_path / "bridge"))
    assert np.array_equal(again.sample(20, eps=0.5, seed=1), bridge.sample(20, eps=0.5, seed=1))
    assert_close(
        again.fields.log_density_of()(torch.ones(3, 2), torch.tensor(0.9)),
        u(torch.ones(3, 2), torch.tensor(0.9)),
    )
    assert again.get_params()["penalties"] == [PENALTY]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Bridge("one_sided_linear", penalties=[PENALTY]), r"log_density alone, got \('velocity',\)"),
        (lambda: Bridge("one_sided_linear", heads="log_density", penalties=["fokker"]), "must be a table"),
        (
            lambda: Bridge("one_sided_linear", heads="log_density", penalties="fokker_planck"),
            "got 'fokker_planck'. Did you mean 'fokker_planck_residual'",
        ),
        (
            lambda: Bridge(
                "one_sided_linear", heads="log_density", penalties=[{"kind": "fokker_plank_residual"}]
            ),
            "Did you mean 'fokker_planck_residual'",
        ),
        (
            lambda: Bridge("one_sided_linear", heads="log_density", penalties=[{**PENALTY, "weight": -1.0}]),
            "weight must be finite and >= 0, got -1",
        ),
        (
            lambda: Bridge("one_sided_linear", heads=("log_density", "velocity")),
            "cannot share a trunk",
        ),
        (
            lambda: Bridge({"kind": "kinetic_optimal", "fit": {"drawz": 2}}),
            "Did you mean 'draws'",
        ),
    ],
)
def test_mistakes_are_told_before_training(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()
