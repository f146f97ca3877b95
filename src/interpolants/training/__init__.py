"""Training: the loop, its settings, checkpoints and the moving average of the weights."""

from interpolants.training.aggregates import KeepsState, StepContext, TellsNumbers, bin_means
from interpolants.training.causal import Causal, causal_weights
from interpolants.training.checkpoint import Checkpoint
from interpolants.training.ema import Ema, ema_rate
from interpolants.training.engine import fit
from interpolants.training.instance_noise import InstanceNoise
from interpolants.training.labels import LearntLabels, learn_labels
from interpolants.training.logging import Log, training_seconds
from interpolants.training.losses import sum_of_means
from interpolants.training.multi_task import MinSNR, NashMTL, PCGrad, UncertaintyWeighting
from interpolants.training.pairs import Learnt, PairBatches, learn_fields
from interpolants.training.results import Best, FitResult, Moment, TrainingInterrupted
from interpolants.training.schedules import learning_rate
from interpolants.training.settings import GroupSettings, TrainSettings
from interpolants.training.sharding import cut_weights, read_cut, without_weights
from interpolants.training.tracking import Tracked

__all__ = [
    "Best",
    "Causal",
    "Checkpoint",
    "Ema",
    "FitResult",
    "GroupSettings",
    "InstanceNoise",
    "KeepsState",
    "Learnt",
    "LearntLabels",
    "Log",
    "MinSNR",
    "Moment",
    "NashMTL",
    "PCGrad",
    "PairBatches",
    "StepContext",
    "TellsNumbers",
    "Tracked",
    "TrainSettings",
    "TrainingInterrupted",
    "UncertaintyWeighting",
    "bin_means",
    "causal_weights",
    "cut_weights",
    "ema_rate",
    "fit",
    "learn_fields",
    "learn_labels",
    "learning_rate",
    "read_cut",
    "sum_of_means",
    "training_seconds",
    "without_weights",
]
