"""Quadratic losses for every field, and the times they are averaged over."""

from typing import TYPE_CHECKING

from interpolants.foundations.cards import carded
from interpolants.objectives.losses import (
    DenoiserLoss,
    DriftLoss,
    EndpointLoss,
    EnergyLoss,
    HyvarinenLoss,
    JointLoss,
    Objective,
    ScoreLoss,
    VelocityLoss,
    joint_loss,
)
from interpolants.objectives.point_source import PointSourceLoss
from interpolants.objectives.times import (
    ImportanceTimes,
    LogitNormalTimes,
    NoiseTimes,
    StratifiedTimes,
    Times,
    TimeSampler,
    UniformTimes,
)

if not TYPE_CHECKING:
    __getattr__ = carded(__name__)  # what has a card is public without an edit here

__all__ = [
    "DenoiserLoss",
    "DriftLoss",
    "EndpointLoss",
    "EnergyLoss",
    "HyvarinenLoss",
    "ImportanceTimes",
    "JointLoss",
    "LogitNormalTimes",
    "NoiseTimes",
    "Objective",
    "PointSourceLoss",
    "ScoreLoss",
    "StratifiedTimes",
    "TimeSampler",
    "Times",
    "UniformTimes",
    "VelocityLoss",
    "joint_loss",
]
