"""Samples: data sets inside installed packages, a user's files, a user's arrays."""

from typing import TYPE_CHECKING

from interpolants.data.alphabet import Alphabet
from interpolants.data.arrays import Kind, as_tensor, restore
from interpolants.data.bundled import DataInfo, Dataset
from interpolants.data.catalogue import available, load
from interpolants.data.column_transforms import Asinh, ColumnMap, ColumnTransform, Interval, Log
from interpolants.data.files import FileArray, read_array
from interpolants.data.picture_sets import Pictures
from interpolants.data.pictures import Picture, read_picture
from interpolants.data.quantile_transform import Quantile
from interpolants.data.sets.cells import load_krumsiek11, load_pbmc68k
from interpolants.data.sets.images import load_digits, load_fashion_mnist
from interpolants.data.sets.measured_tables import (
    load_boston_housing,
    load_concrete,
    load_diabetes,
    load_leaves,
)
from interpolants.data.sets.photo_pixels import load_photo_pixels
from interpolants.data.sets.photographs import load_photographs
from interpolants.data.sets.tables import (
    load_breast_cancer,
    load_diamonds,
    load_flights,
    load_letter,
    load_shuttle,
    load_wine,
)
from interpolants.foundations.cards import carded

if not TYPE_CHECKING:
    __getattr__ = carded(__name__)  # what has a card is public without an edit here

__all__ = [
    "load_boston_housing",
    "load_concrete",
    "load_diabetes",
    "load_leaves",
    "Alphabet",
    "Asinh",
    "ColumnMap",
    "ColumnTransform",
    "DataInfo",
    "Dataset",
    "FileArray",
    "Interval",
    "Kind",
    "Log",
    "Picture",
    "Pictures",
    "Quantile",
    "as_tensor",
    "available",
    "load",
    "load_breast_cancer",
    "load_diamonds",
    "load_digits",
    "load_fashion_mnist",
    "load_flights",
    "load_krumsiek11",
    "load_letter",
    "load_pbmc68k",
    "load_photo_pixels",
    "load_photographs",
    "load_shuttle",
    "load_wine",
    "read_array",
    "read_picture",
    "restore",
]
