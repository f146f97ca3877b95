"""Spaces that a bridge may lie in, and how columns of a table stand for their points."""

from interpolants.spaces.codes import Angle, Code, LatitudeLongitude, Quaternion, UnitVector, code_of
from interpolants.spaces.product import Product
from interpolants.spaces.reals import Reals
from interpolants.spaces.space import Space
from interpolants.spaces.sphere import Rotations, Sphere

__all__ = [
    "Angle",
    "Code",
    "LatitudeLongitude",
    "Product",
    "Quaternion",
    "Reals",
    "Rotations",
    "Space",
    "Sphere",
    "UnitVector",
    "code_of",
]
