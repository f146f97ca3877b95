"""Densities of trained bridges."""

from interpolants.likelihood.divergence import exact_divergence, probed_divergence
from interpolants.likelihood.log_prob import LogProb, log_prob, sample_with_log_prob

__all__ = ["LogProb", "exact_divergence", "log_prob", "probed_divergence", "sample_with_log_prob"]
