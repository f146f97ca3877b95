"""Quadratic losses for every field, and the times they are averaged over."""

from typing import TYPE_CHECKING

from interpolants.foundations.cards import carded
from interpolants.objectives.critic import critic_loss, fit_critic, gradient_penalty
from interpolants.objectives.joint import JointLoss, joint_loss
from interpolants.objectives.labels import LabelLoss
from interpolants.objectives.losses import (
    EndpointLoss,
    EnergyLoss,
    HyvarinenLoss,
    LogDensityLoss,
    MeanRateLoss,
    NoiseLoss,
    Objective,
    ScoreLoss,
    VelocityLoss,
)
from interpolants.objectives.penalties import (
    ConservativityPenalty,
    FokkerPlanckResidual,
    Penalty,
    ScoreFokkerPlanckResidual,
    check_penalties,
)
from interpolants.objectives.point_source_loss import PointSourceLoss
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
    "ConservativityPenalty",
    "NoiseLoss",
    "MeanRateLoss",
    "EndpointLoss",
    "EnergyLoss",
    "FokkerPlanckResidual",
    "HyvarinenLoss",
    "ImportanceTimes",
    "JointLoss",
    "LogDensityLoss",
    "LabelLoss",
    "LogitNormalTimes",
    "NoiseTimes",
    "Objective",
    "Penalty",
    "PointSourceLoss",
    "ScoreFokkerPlanckResidual",
    "ScoreLoss",
    "StratifiedTimes",
    "TimeSampler",
    "Times",
    "UniformTimes",
    "VelocityLoss",
    "check_penalties",
    "critic_loss",
    "fit_critic",
    "gradient_penalty",
    "joint_loss",
]
