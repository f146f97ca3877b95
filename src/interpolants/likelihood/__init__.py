"""Densities of trained bridges."""

from typing import TYPE_CHECKING

from interpolants.foundations.cards import carded
from interpolants.foundations.derivatives import exact_divergence, probed_divergence
from interpolants.likelihood.bennett import LogRatio, bennett
from interpolants.likelihood.bits import BitsPerDim, bits_per_dim, dequantise
from interpolants.likelihood.crooks import crooks_weights
from interpolants.likelihood.cross_entropy import CrossEntropy, cross_entropy
from interpolants.likelihood.held_out_errors import held_out_errors
from interpolants.likelihood.kl_bound import (
    KlBound,
    SquaredErrors,
    kl_bound,
    optimal_eps,
    optimal_schedule,
    squared_errors,
)
from interpolants.likelihood.log_prob import Scoring, log_prob, sample_with_log_prob
from interpolants.likelihood.noise_level import Comparison, compare_log_prob
from interpolants.likelihood.result import LogProb, SdeLogProb

if not TYPE_CHECKING:
    __getattr__ = carded(__name__)  # what has a card is public without an edit here

__all__ = [
    "BitsPerDim",
    "Comparison",
    "CrossEntropy",
    "KlBound",
    "LogProb",
    "LogRatio",
    "Scoring",
    "SdeLogProb",
    "SquaredErrors",
    "bennett",
    "bits_per_dim",
    "compare_log_prob",
    "crooks_weights",
    "cross_entropy",
    "dequantise",
    "exact_divergence",
    "held_out_errors",
    "kl_bound",
    "log_prob",
    "optimal_eps",
    "optimal_schedule",
    "probed_divergence",
    "sample_with_log_prob",
    "squared_errors",
]
