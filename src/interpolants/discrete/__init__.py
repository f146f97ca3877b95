"""Bridges between distributions of token sequences: time-free masked diffusion, and discrete flows from other bases."""

from typing import TYPE_CHECKING

from interpolants.discrete.first_hitting import FirstHitting
from interpolants.discrete.masking import Hidden, hide, hide_share
from interpolants.discrete.nelbo import Nelbo, exact_nelbo, nelbo
from interpolants.discrete.objectives import DiscreteFlowLoss, MaskedCrossEntropy, TokenLoss
from interpolants.discrete.paths import DiscretePath, Masked, TokenSample, UniformBase
from interpolants.discrete.posterior import (
    ExactPosterior,
    FunctionPosterior,
    NetPosterior,
    Posterior,
    as_posterior,
)
from interpolants.discrete.precision import (
    StepPrecision,
    effective_temperature,
    entropy,
    gumbel_cap,
    gumbel_draw,
    step_precision,
    token_entropy,
    truncated_gumbel_distribution,
)
from interpolants.discrete.sampler import TokenSampler, TokenSamples
from interpolants.discrete.schedules import CosineKeep, CustomKeep, KeepSchedule, LinearKeep, PolynomialKeep
from interpolants.discrete.tau_leaping import TauLeaping
from interpolants.foundations.cards import carded
from interpolants.foundations.categorical import categorical_sample

if not TYPE_CHECKING:
    __getattr__ = carded(__name__)  # what has a card is public without an edit here

__all__ = [
    "CosineKeep",
    "CustomKeep",
    "DiscreteFlowLoss",
    "DiscretePath",
    "ExactPosterior",
    "FirstHitting",
    "FunctionPosterior",
    "Hidden",
    "KeepSchedule",
    "LinearKeep",
    "Masked",
    "MaskedCrossEntropy",
    "Nelbo",
    "NetPosterior",
    "PolynomialKeep",
    "Posterior",
    "StepPrecision",
    "TauLeaping",
    "TokenLoss",
    "TokenSample",
    "TokenSampler",
    "TokenSamples",
    "UniformBase",
    "as_posterior",
    "categorical_sample",
    "effective_temperature",
    "entropy",
    "exact_nelbo",
    "gumbel_cap",
    "gumbel_draw",
    "hide",
    "hide_share",
    "nelbo",
    "step_precision",
    "token_entropy",
    "truncated_gumbel_distribution",
]
