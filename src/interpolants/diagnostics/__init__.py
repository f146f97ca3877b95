"""Diagnostics of trained fields: gaps between ODE and SDE, gauge parts of the score, dimension of the data."""

from typing import TYPE_CHECKING

from interpolants.diagnostics.density_gap import Mismatch, accumulated_residual, log_density_mismatch
from interpolants.diagnostics.helmholtz import (
    Projection,
    Split,
    asymmetry,
    conservative_projection,
    gauge_residual,
    helmholtz,
)
from interpolants.diagnostics.intrinsic_dimension import Dimension, intrinsic_dimension
from interpolants.diagnostics.ode_sde_gap import FlowScore, OdeSdeGap, flow_score, ode_sde_gap
from interpolants.foundations.cards import carded

if not TYPE_CHECKING:
    __getattr__ = carded(__name__)  # what has a card is public without an edit here

__all__ = [
    "Dimension",
    "FlowScore",
    "Mismatch",
    "OdeSdeGap",
    "Projection",
    "Split",
    "accumulated_residual",
    "asymmetry",
    "conservative_projection",
    "flow_score",
    "gauge_residual",
    "helmholtz",
    "intrinsic_dimension",
    "log_density_mismatch",
    "ode_sde_gap",
]
