"""Training: the loop, its settings, checkpoints and the moving average of the weights."""

from interpolants.training.checkpoint import Checkpoint
from interpolants.training.ema import Ema, ema_rate
from interpolants.training.engine import FitResult, Moment, fit, sum_of_means
from interpolants.training.labels import LearntLabels, learn_labels
from interpolants.training.logging import Log
from interpolants.training.pairs import Learnt, PairBatches, learn_fields
from interpolants.training.schedules import learning_rate
from interpolants.training.settings import TrainSettings
from interpolants.training.tokens import LearntTokens, TokenBatches, learn_tokens

__all__ = [
    "Checkpoint",
    "Ema",
    "FitResult",
    "Learnt",
    "LearntTokens",
    "LearntLabels",
    "Log",
    "Moment",
    "PairBatches",
    "TokenBatches",
    "TrainSettings",
    "ema_rate",
    "fit",
    "learn_fields",
    "learn_tokens",
    "learn_labels",
    "learning_rate",
    "sum_of_means",
]
