"""Bridges between two distributions: interpolants, envelopes, and the draws that training needs."""

from typing import TYPE_CHECKING, Any

from interpolants.foundations.cards import carded
from interpolants.foundations.registry import build
from interpolants.paths.bases import Basis, CosineBasis, FourierBasis, MatrixBasis
from interpolants.paths.custom import General, SpatiallyLinear
from interpolants.paths.discrete_schedule import DiscreteSchedule, linear_betas
from interpolants.paths.edm import EDM
from interpolants.paths.encoder_decoder import EncoderDecoder
from interpolants.paths.ends import Ends
from interpolants.paths.envelopes import (
    BrownianEnvelope,
    CustomEnvelope,
    Envelope,
    QuadraticEnvelope,
    SigmoidEnvelope,
    SineSquaredEnvelope,
    ZeroEnvelope,
)
from interpolants.paths.fitted import UnfittedPath
from interpolants.paths.kinetic import KineticOptimal, kinetic_energy
from interpolants.paths.linear import Linear, OneSidedLinear
from interpolants.paths.mirror import Diffusive, Mirror
from interpolants.paths.path import Path, PathSample, SpatiallyLinearPath
from interpolants.paths.separation import DataSeparation, data_separation
from interpolants.paths.shortest import ShortestPath, fisher_rao_length
from interpolants.paths.spectral import Spectral, SpectralPath
from interpolants.paths.student_t import StudentT
from interpolants.paths.tabulated import Tabulated
from interpolants.paths.trigonometric import OneSidedTrigonometric, Trigonometric
from interpolants.paths.variance_preserving import VariancePreserving
from interpolants.paths.ve import VE
from interpolants.paths.vp import VP, SubVP


def get_path(name: str, **settings: Any) -> Path:
    """Make a path by the id of its card, e.g. ``get_path("linear", envelope=QuadraticEnvelope())``.

    Raises:
        InvalidInputError: If the name or a setting is unknown; the nearest is named.
    """
    path = build("path", name, **settings)
    assert isinstance(path, Path)
    return path


if not TYPE_CHECKING:
    __getattr__ = carded(__name__)  # what has a card is public without an edit here

__all__ = [
    "Basis",
    "BrownianEnvelope",
    "CosineBasis",
    "CustomEnvelope",
    "DataSeparation",
    "Diffusive",
    "DiscreteSchedule",
    "EDM",
    "EncoderDecoder",
    "Ends",
    "Envelope",
    "FourierBasis",
    "General",
    "KineticOptimal",
    "Linear",
    "MatrixBasis",
    "Mirror",
    "OneSidedLinear",
    "OneSidedTrigonometric",
    "Path",
    "PathSample",
    "QuadraticEnvelope",
    "ShortestPath",
    "SigmoidEnvelope",
    "SineSquaredEnvelope",
    "SpatiallyLinear",
    "SpatiallyLinearPath",
    "StudentT",
    "SubVP",
    "Spectral",
    "SpectralPath",
    "Tabulated",
    "Trigonometric",
    "UnfittedPath",
    "VE",
    "VP",
    "VariancePreserving",
    "ZeroEnvelope",
    "data_separation",
    "fisher_rao_length",
    "get_path",
    "kinetic_energy",
    "linear_betas",
]
