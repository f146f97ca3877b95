# Written by docs/methods.py from __init__.py and the cards.
from interpolants.guidance.classifier import ask_for as ask_for
from interpolants.guidance.classifier import ClassifierGuided as ClassifierGuided
from interpolants.guidance.classifier_free import ClassifierFree as ClassifierFree
from interpolants.guidance.classifier_free import guide as guide
from interpolants.guidance.classifier_free import Guided as Guided
from interpolants.guidance.classifier_free import with_strength as with_strength
from interpolants.guidance.cyclic import CyclicOneWay as CyclicOneWay
from interpolants.guidance.cyclic import RePaint as RePaint
from interpolants.guidance.dps import DPS as DPS
from interpolants.guidance.energy import EnergyGuided as EnergyGuided
from interpolants.guidance.energy import Misfit as Misfit
from interpolants.guidance.energy import observed as observed
from interpolants.guidance.experts import annealed as annealed
from interpolants.guidance.experts import Expert as Expert
from interpolants.guidance.experts import guided as guided
from interpolants.guidance.experts import product as product
from interpolants.guidance.experts import Reward as Reward
from interpolants.guidance.feynman_kac import FeynmanKac as FeynmanKac
from interpolants.guidance.keep_known import KeepKnown as KeepKnown
from interpolants.guidance.masked_flow import MaskedFlow as MaskedFlow
from interpolants.guidance.observation import AncestralStrength as AncestralStrength
from interpolants.guidance.observation import QuantileGap as QuantileGap
from interpolants.guidance.observation import SquaredGap as SquaredGap
from interpolants.guidance.particles import WeightedSamples as WeightedSamples
from interpolants.guidance.pseudo_inverse import PseudoInverseGuided as PseudoInverseGuided
from interpolants.guidance.pseudo_inverse import PseudoInverseSampler as PseudoInverseSampler
from interpolants.guidance.red_diff import REDDiff as REDDiff
from interpolants.guidance.red_diff import Restored as Restored
from interpolants.guidance.references import GaussianFlow as GaussianFlow
from interpolants.guidance.replacement import Replacement as Replacement
from interpolants.guidance.shifted import ShiftedScore as ShiftedScore
from interpolants.guidance.size_guard import SizeGuard as SizeGuard
from interpolants.guidance.twisted import TwistedSMC as TwistedSMC

__all__ = ['ClassifierFree', 'ClassifierGuided', 'DPS', 'EnergyGuided', 'Expert', 'FeynmanKac', 'GaussianFlow', 'Guided', 'KeepKnown', 'Misfit', 'REDDiff', 'Replacement', 'Restored', 'Reward', 'ShiftedScore', 'TwistedSMC', 'WeightedSamples', 'annealed', 'ask_for', 'guide', 'guided', 'observed', 'product', 'with_strength']
