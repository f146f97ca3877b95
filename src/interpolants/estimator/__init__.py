"""The estimator and its self-test."""

from interpolants.estimator.bridge import Bridge
from interpolants.estimator.check import Check, CheckReport
from interpolants.estimator.forecast_scores import ForecastScores
from interpolants.estimator.forecaster import Forecaster

__all__ = ["Bridge", "Check", "CheckReport", "ForecastScores", "Forecaster"]
