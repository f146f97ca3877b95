# Written by docs/methods.py from __init__.py and the cards.
from interpolants.apps.timeseries.metrics.linear_predictive import linear_predictive_score as linear_predictive_score
from interpolants.apps.timeseries.nets.gated_convolution import GatedConvolution as GatedConvolution
from interpolants.apps.timeseries.nets.state_space import StateSpaceNet as StateSpaceNet
from interpolants.apps.timeseries.self_guided_diffusion import SelfGuidedDiffusion as SelfGuidedDiffusion
from interpolants.apps.timeseries.series_questions import RefinedForecasts as RefinedForecasts
from interpolants.apps.timeseries.series_questions import SyntheticWindows as SyntheticWindows

__all__ = []
