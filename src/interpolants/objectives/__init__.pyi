# Written by docs/methods.py from __init__.py and the cards.
from interpolants.objectives.critic import critic_loss as critic_loss
from interpolants.objectives.critic import fit_critic as fit_critic
from interpolants.objectives.critic import gradient_penalty as gradient_penalty
from interpolants.objectives.joint import joint_loss as joint_loss
from interpolants.objectives.joint import JointLoss as JointLoss
from interpolants.objectives.labels import LabelLoss as LabelLoss
from interpolants.objectives.losses import EndpointLoss as EndpointLoss
from interpolants.objectives.losses import EnergyLoss as EnergyLoss
from interpolants.objectives.losses import HyvarinenLoss as HyvarinenLoss
from interpolants.objectives.losses import LogDensityLoss as LogDensityLoss
from interpolants.objectives.losses import MeanRateLoss as MeanRateLoss
from interpolants.objectives.losses import NoiseLoss as NoiseLoss
from interpolants.objectives.losses import Objective as Objective
from interpolants.objectives.losses import ScoreLoss as ScoreLoss
from interpolants.objectives.losses import VelocityLoss as VelocityLoss
from interpolants.objectives.penalties import check_penalties as check_penalties
from interpolants.objectives.penalties import ConservativityPenalty as ConservativityPenalty
from interpolants.objectives.penalties import FokkerPlanckResidual as FokkerPlanckResidual
from interpolants.objectives.penalties import Penalty as Penalty
from interpolants.objectives.penalties import ScoreFokkerPlanckResidual as ScoreFokkerPlanckResidual
from interpolants.objectives.point_source_loss import PointSourceLoss as PointSourceLoss
from interpolants.objectives.time_clusters import ClusterBalancedTimes as ClusterBalancedTimes
from interpolants.objectives.times import ImportanceTimes as ImportanceTimes
from interpolants.objectives.times import LogitNormalTimes as LogitNormalTimes
from interpolants.objectives.times import NoiseTimes as NoiseTimes
from interpolants.objectives.times import StratifiedTimes as StratifiedTimes
from interpolants.objectives.times import Times as Times
from interpolants.objectives.times import TimeSampler as TimeSampler
from interpolants.objectives.times import UniformTimes as UniformTimes

__all__ = ['ConservativityPenalty', 'EndpointLoss', 'EnergyLoss', 'FokkerPlanckResidual', 'HyvarinenLoss', 'ImportanceTimes', 'JointLoss', 'LabelLoss', 'LogDensityLoss', 'LogitNormalTimes', 'MeanRateLoss', 'NoiseLoss', 'NoiseTimes', 'Objective', 'Penalty', 'PointSourceLoss', 'ScoreFokkerPlanckResidual', 'ScoreLoss', 'StratifiedTimes', 'TimeSampler', 'Times', 'UniformTimes', 'VelocityLoss', 'check_penalties', 'critic_loss', 'fit_critic', 'gradient_penalty', 'joint_loss']
