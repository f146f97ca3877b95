"""Old public names are refused with the new one named; records of older versions are read."""

import pytest
import torch

import interpolants.objectives
from interpolants import Bridge
from interpolants.dynamics.sample import sample
from interpolants.fields import QUANTITIES, LearnedFields
from interpolants.foundations.errors import InvalidInputError, nearest
from interpolants.foundations.registry import build
from interpolants.foundations.renamed import QUANTITIES as OLD
from interpolants.foundations.renamed import current_quantity
from interpolants.objectives import joint_loss
from interpolants.paths import Linear

FIELDS = LearnedFields(Linear(), velocity=torch.sin, noise=torch.cos)


@pytest.mark.parametrize(
    ("call", "new"),
    [
        (lambda: Bridge("linear", heads="denoiser"), "noise"),
        (lambda: Bridge("linear", heads=("drift", "noise")), "mean_rate"),
        (lambda: Bridge("vp", heads="endpoint1"), "denoised"),
        (lambda: joint_loss(["drift"], Linear()), "mean_rate"),
        (lambda: FIELDS.evaluate(torch.zeros(1, 1), torch.tensor(0.5), ["denoiser"]), "noise"),
        (lambda: LearnedFields(Linear(), joint=torch.add, heads=("endpoint1",)), "denoised"),
        (lambda: sample(FIELDS, torch.zeros(1, 1), method="denoise"), "ddim"),
        (lambda: build("objective", "denoiser_loss", path=Linear()), "noise_loss"),
    ],
)
def test_an_old_name_is_refused_with_the_new_one(call, new):
    with pytest.raises(InvalidInputError, match=f"was renamed to '{new}'"):
        call()


@pytest.mark.parametrize(("old", "new"), [("DenoiserLoss", "NoiseLoss"), ("DriftLoss", "MeanRateLoss")])
def test_an_old_class_is_refused_with_the_new_one(old, new):
    with pytest.raises(AttributeError, match=f"renamed to '{new}'"):
        getattr(interpolants.objectives, old)


@pytest.mark.parametrize(("old", "new"), OLD.items())
def test_an_old_accessor_is_refused_with_the_new_one(old, new):
    assert new in QUANTITIES
    with pytest.raises(AttributeError, match=f"no attribute '{old}'; it was renamed to '{new}'"):
        getattr(FIELDS, old)


def test_a_name_that_was_never_known_is_not_said_to_be_renamed():
    with pytest.raises(AttributeError, match=r"no attribute 'denoisers'$"):
        FIELDS.denoisers  # noqa: B018
    assert nearest("denoiser", ["score"]) == "Known: score."


def test_old_quantities_are_read_under_their_present_names():
    assert [current_quantity(name) for name in ("velocity", "denoiser", "drift", "endpoint1")] == [
        "velocity",
        "noise",
        "mean_rate",
        "denoised",
    ]
