"""Measurement operators ``y = H(x)`` of inverse problems."""

from typing import TYPE_CHECKING

from interpolants.foundations.cards import carded
from interpolants.operators.blocks import Downsample
from interpolants.operators.fourier import Blur, PhaseRetrieval
from interpolants.operators.mask import Mask
from interpolants.operators.measurement import (
    Matrix,
    Measurement,
    Operator,
    as_matrix,
    as_operator,
    check_measurement,
)
from interpolants.operators.rotated import Rotated
from interpolants.operators.saturation import Saturate

if not TYPE_CHECKING:
    __getattr__ = carded(__name__)  # what has a card is public without an edit here

__all__ = [
    "Blur",
    "Downsample",
    "Mask",
    "Matrix",
    "Measurement",
    "Operator",
    "PhaseRetrieval",
    "Rotated",
    "Saturate",
    "as_matrix",
    "as_operator",
    "check_measurement",
]
