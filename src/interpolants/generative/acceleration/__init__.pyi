# Written by docs/methods.py from __init__.py and the cards.
from interpolants.generative.acceleration.cost_model import propagation_cost as propagation_cost
from interpolants.generative.acceleration.early_exit import EarlyExit as EarlyExit
from interpolants.generative.acceleration.encoder_propagation import EncoderPropagation as EncoderPropagation
from interpolants.generative.acceleration.feature_observer import feature_change as feature_change
from interpolants.generative.acceleration.noise_scaling import NoiseScaling as NoiseScaling
from interpolants.generative.acceleration.prior_noise import PriorNoise as PriorNoise
from interpolants.generative.acceleration.time_shift import TimeShift as TimeShift

__all__ = []
