"""The estimator and its self-test."""

from interpolants.estimator.auto_eps import Candidate, EpsChoice, auto_eps
from interpolants.estimator.bridge import Bridge
from interpolants.estimator.check import Check, CheckReport
from interpolants.estimator.presets import PFGMPP

__all__ = [
    "Bridge",
    "Candidate",
    "Check",
    "CheckReport",
    "EpsChoice",
    "PFGMPP",
    "auto_eps",
]
