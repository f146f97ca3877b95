# Written by docs/methods.py from __init__.py and the cards.
from interpolants.foundations.derivatives import exact_divergence as exact_divergence
from interpolants.foundations.derivatives import probed_divergence as probed_divergence
from interpolants.likelihood.bennett import bennett as bennett
from interpolants.likelihood.bennett import LogRatio as LogRatio
from interpolants.likelihood.bits import bits_per_dim as bits_per_dim
from interpolants.likelihood.bits import BitsPerDim as BitsPerDim
from interpolants.likelihood.bits import dequantise as dequantise
from interpolants.likelihood.crooks import crooks_weights as crooks_weights
from interpolants.likelihood.cross_entropy import cross_entropy as cross_entropy
from interpolants.likelihood.cross_entropy import CrossEntropy as CrossEntropy
from interpolants.likelihood.held_out_errors import held_out_errors as held_out_errors
from interpolants.likelihood.kl_bound import kl_bound as kl_bound
from interpolants.likelihood.kl_bound import KlBound as KlBound
from interpolants.likelihood.kl_bound import optimal_eps as optimal_eps
from interpolants.likelihood.kl_bound import optimal_schedule as optimal_schedule
from interpolants.likelihood.kl_bound import squared_errors as squared_errors
from interpolants.likelihood.kl_bound import SquaredErrors as SquaredErrors
from interpolants.likelihood.log_prob import log_prob as log_prob
from interpolants.likelihood.log_prob import sample_with_log_prob as sample_with_log_prob
from interpolants.likelihood.log_prob import Scoring as Scoring
from interpolants.likelihood.noise_level import compare_log_prob as compare_log_prob
from interpolants.likelihood.noise_level import Comparison as Comparison
from interpolants.likelihood.result import LogProb as LogProb
from interpolants.likelihood.result import SdeLogProb as SdeLogProb

__all__ = ['BitsPerDim', 'Comparison', 'CrossEntropy', 'KlBound', 'LogProb', 'LogRatio', 'Scoring', 'SdeLogProb', 'SquaredErrors', 'bennett', 'bits_per_dim', 'compare_log_prob', 'crooks_weights', 'cross_entropy', 'dequantise', 'exact_divergence', 'held_out_errors', 'kl_bound', 'log_prob', 'optimal_eps', 'optimal_schedule', 'probed_divergence', 'sample_with_log_prob', 'squared_errors']
