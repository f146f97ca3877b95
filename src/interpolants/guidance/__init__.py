"""Guidance: fields that wrap fields, to steer samples by a condition."""

from typing import TYPE_CHECKING

from interpolants.foundations.cards import carded
from interpolants.guidance.classifier_free import ClassifierFree, Guided, guide, with_strength
from interpolants.guidance.keep_known import KeepKnown

if not TYPE_CHECKING:
    __getattr__ = carded(__name__)  # what has a card is public without an edit here

__all__ = ["ClassifierFree", "Guided", "KeepKnown", "guide", "with_strength"]
