"""Velocity, score, denoisers and the relations between them."""

from interpolants.fields.learned import LearnedFields
from interpolants.fields.point_source import PointSourceFields, start_at
from interpolants.fields.protocol import QUANTITIES, Fields

__all__ = ["QUANTITIES", "Fields", "LearnedFields", "PointSourceFields", "start_at"]
