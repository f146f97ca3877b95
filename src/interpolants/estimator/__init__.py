"""The estimator and its self-test."""

from interpolants.estimator.bridge import Bridge
from interpolants.estimator.check import Check, CheckReport

__all__ = ["Bridge", "Check", "CheckReport"]
