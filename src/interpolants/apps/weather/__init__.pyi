# Written by docs/methods.py from __init__.py and the cards.
from interpolants.apps.weather.data.lorenz96_ensemble import load_lorenz96_ensemble as load_lorenz96_ensemble
from interpolants.apps.weather.data.movies import load_hurricane_rain as load_hurricane_rain
from interpolants.apps.weather.data.movies import load_monthly_winds as load_monthly_winds
from interpolants.apps.weather.data.sample_ensembles import load_era5_members as load_era5_members
from interpolants.apps.weather.data.sample_ensembles import load_seasonal_forecasts as load_seasonal_forecasts
from interpolants.apps.weather.ensemble_emulator import EnsembleEmulator as EnsembleEmulator
from interpolants.apps.weather.ensemble_questions import EmulatedEnsembles as EmulatedEnsembles
from interpolants.apps.weather.ensemble_rivals import DressedSeeds as DressedSeeds
from interpolants.apps.weather.ensemble_rivals import EnsembleClimatology as EnsembleClimatology
from interpolants.apps.weather.ensemble_rivals import SeedRegression as SeedRegression
from interpolants.apps.weather.metrics.event_scores import brier_score as brier_score
from interpolants.apps.weather.metrics.event_scores import critical_success_index as critical_success_index
from interpolants.apps.weather.metrics.event_scores import log_loss as log_loss
from interpolants.apps.weather.metrics.field_scores import anomaly_correlation as anomaly_correlation
from interpolants.apps.weather.metrics.field_scores import power_spectrum as power_spectrum
from interpolants.apps.weather.metrics.field_scores import variogram_score as variogram_score
from interpolants.apps.weather.nets.grid_convolution import GridConvolution as GridConvolution
from interpolants.apps.weather.nowcast_questions import NowcastSkill as NowcastSkill
from interpolants.apps.weather.nowcast_rivals import FramePersistence as FramePersistence
from interpolants.apps.weather.nowcast_rivals import MotionExtrapolation as MotionExtrapolation
from interpolants.apps.weather.nowcaster import Nowcaster as Nowcaster
from interpolants.apps.weather.precision_weight import PrecisionWeight as PrecisionWeight
from interpolants.apps.weather.problems.advected_blobs import AdvectedBlobs as AdvectedBlobs

__all__ = []
