# Written by docs/methods.py from __init__.py and the cards.
from interpolants.generative.tokens.data.text import load_kjv as load_kjv
from interpolants.generative.tokens.discrete.first_hitting import FirstHitting as FirstHitting
from interpolants.generative.tokens.discrete.insertions import Insert as Insert
from interpolants.generative.tokens.discrete.nelbo import nelbo as nelbo
from interpolants.generative.tokens.discrete.objectives import DiscreteFlowLoss as DiscreteFlowLoss
from interpolants.generative.tokens.discrete.objectives import MaskedCrossEntropy as MaskedCrossEntropy
from interpolants.generative.tokens.discrete.paths import Masked as Masked
from interpolants.generative.tokens.discrete.paths import UniformBase as UniformBase
from interpolants.generative.tokens.discrete.posterior import ExactPosterior as ExactPosterior
from interpolants.generative.tokens.discrete.posterior import FunctionPosterior as FunctionPosterior
from interpolants.generative.tokens.discrete.posterior import NetPosterior as NetPosterior
from interpolants.generative.tokens.discrete.precision import step_precision as step_precision
from interpolants.generative.tokens.discrete.schedules import CosineKeep as CosineKeep
from interpolants.generative.tokens.discrete.schedules import CustomKeep as CustomKeep
from interpolants.generative.tokens.discrete.schedules import LinearKeep as LinearKeep
from interpolants.generative.tokens.discrete.schedules import PolynomialKeep as PolynomialKeep
from interpolants.generative.tokens.discrete.tau_leaping import TauLeaping as TauLeaping
from interpolants.generative.tokens.metrics.ngrams import ngram_distance as ngram_distance
from interpolants.generative.tokens.problems.token_sources import MarkovTokens as MarkovTokens
from interpolants.generative.tokens.problems.token_sources import random_markov as random_markov
from interpolants.generative.tokens.problems.token_sources import random_table as random_table
from interpolants.generative.tokens.problems.token_sources import TokenTable as TokenTable
from interpolants.generative.tokens.token_bridge import TokenBridge as TokenBridge
from interpolants.generative.tokens.token_frequencies import TokenFrequencies as TokenFrequencies
from interpolants.generative.tokens.token_quality import TokenQuality as TokenQuality

__all__ = []
