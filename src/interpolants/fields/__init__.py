"""Fields: velocity, mean rate, score, noise, denoised, and the relations between them."""

from interpolants.fields.continuity import Residual, Trace, continuity_residual, score_residual
from interpolants.fields.learned import LearnedFields, on_path
from interpolants.fields.log_density import LogDensity, Moments
from interpolants.fields.point_source_fields import PointSourceFields, start_at
from interpolants.fields.preconditioned import Preconditioned
from interpolants.fields.protocol import QUANTITIES, Fields
from interpolants.fields.wrapped import WrappedFields

__all__ = [
    "QUANTITIES",
    "Fields",
    "LearnedFields",
    "LogDensity",
    "Moments",
    "PointSourceFields",
    "Preconditioned",
    "Residual",
    "Trace",
    "WrappedFields",
    "continuity_residual",
    "on_path",
    "score_residual",
    "start_at",
]
