"""Guidance: fields that wrap fields, to steer samples by a condition."""

from interpolants.guidance.classifier_free import ClassifierFree, Guided, guide, with_strength
from interpolants.guidance.keep_known import KeepKnown

__all__ = ["ClassifierFree", "Guided", "KeepKnown", "guide", "with_strength"]
