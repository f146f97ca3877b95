"""Bridges between distributions of token sequences: time-free masked diffusion, and discrete flows from other bases."""

from typing import TYPE_CHECKING

from interpolants.foundations.cards import carded
from interpolants.generative.tokens.categorical import categorical_sample
from interpolants.generative.tokens.discrete.first_hitting import FirstHitting
from interpolants.generative.tokens.discrete.masking import Hidden, hide, hide_share
from interpolants.generative.tokens.discrete.nelbo import Nelbo, exact_nelbo, nelbo
from interpolants.generative.tokens.discrete.objectives import DiscreteFlowLoss, MaskedCrossEntropy, TokenLoss
from interpolants.generative.tokens.discrete.paths import DiscretePath, Masked, TokenSample, UniformBase
from interpolants.generative.tokens.discrete.posterior import (
    ExactPosterior,
    FunctionPosterior,
    NetPosterior,
    Posterior,
    as_posterior,
)
from interpolants.generative.tokens.discrete.precision import (
    StepPrecision,
    effective_temperature,
    entropy,
    gumbel_cap,
    gumbel_draw,
    step_precision,
    token_entropy,
    truncated_gumbel_distribution,
)
from interpolants.generative.tokens.discrete.sampler import TokenSampler, TokenSamples
from interpolants.generative.tokens.discrete.schedules import (
    CosineKeep,
    CustomKeep,
    KeepSchedule,
    LinearKeep,
    PolynomialKeep,
)
from interpolants.generative.tokens.discrete.tau_leaping import TauLeaping

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
