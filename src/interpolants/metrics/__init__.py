"""Two-sample metrics, each with its standard error and its sampling floor."""

from typing import TYPE_CHECKING

from interpolants.foundations.cards import carded
from interpolants.metrics.attractor_dimension import correlation_integral
from interpolants.metrics.bures_uvp import bw2_uvp, cbw2_uvp
from interpolants.metrics.c2st import c2st
from interpolants.metrics.crps import crps, energy_score, mixture_crps
from interpolants.metrics.diversity import Memorisation, memorisation
from interpolants.metrics.energy_distance import energy_distance
from interpolants.metrics.ensemble import RankHistogram, rank_histogram, spread_skill
from interpolants.metrics.estimate import Estimate, Metric, bootstrap_error, floor, two_halves
from interpolants.metrics.features import PrincipalComponents, RandomConvolutions
from interpolants.metrics.forecast_scores import ForecastScores, verify_forecast
from interpolants.metrics.frechet import frechet_distance
from interpolants.metrics.kde_kl import GaussianKDE, LogRatio, kde_kl, log_ratio
from interpolants.metrics.lyapunov import LyapunovSpectrum, kaplan_yorke
from interpolants.metrics.mmd import median_bandwidth, mmd
from interpolants.metrics.path_errors import normalised_error
from interpolants.metrics.seams import seam_score
from interpolants.metrics.sliced_wasserstein import sliced_wasserstein
from interpolants.metrics.wasserstein import bures_wasserstein, wasserstein

if not TYPE_CHECKING:
    __getattr__ = carded(__name__)  # what has a card is public without an edit here

__all__ = [
    "LyapunovSpectrum",
    "correlation_integral",
    "kaplan_yorke",
    "normalised_error",
    "Estimate",
    "ForecastScores",
    "GaussianKDE",
    "LogRatio",
    "Memorisation",
    "Metric",
    "PrincipalComponents",
    "RandomConvolutions",
    "RankHistogram",
    "bootstrap_error",
    "bures_wasserstein",
    "bw2_uvp",
    "c2st",
    "cbw2_uvp",
    "crps",
    "energy_distance",
    "energy_score",
    "floor",
    "frechet_distance",
    "kde_kl",
    "log_ratio",
    "median_bandwidth",
    "memorisation",
    "mixture_crps",
    "mmd",
    "rank_histogram",
    "seam_score",
    "sliced_wasserstein",
    "spread_skill",
    "two_halves",
    "verify_forecast",
    "wasserstein",
]
