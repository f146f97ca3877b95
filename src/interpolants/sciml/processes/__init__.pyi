# Written by docs/methods.py from __init__.py and the cards.
from interpolants.sciml.processes.chain_questions import chain_independence as chain_independence
from interpolants.sciml.processes.chain_questions import path_quality as path_quality
from interpolants.sciml.processes.data.daily_stocks import load_daily_stocks as load_daily_stocks
from interpolants.sciml.processes.data.nile import load_nile as load_nile
from interpolants.sciml.processes.data.vowels import load_japanese_vowels as load_japanese_vowels
from interpolants.sciml.processes.directed_chain import DirectedChainGenerator as DirectedChainGenerator
from interpolants.sciml.processes.fractional_gaussian_fit import FractionalGaussianFit as FractionalGaussianFit
from interpolants.sciml.processes.fractional_questions import FractionalNoise as FractionalNoise
from interpolants.sciml.processes.fractional_sde import FractionalSDE as FractionalSDE
from interpolants.sciml.processes.kernels.markov_fractional import optimal_weights as optimal_weights
from interpolants.sciml.processes.kernels.signatures import signature as signature
from interpolants.sciml.processes.metrics.path_scores import discriminative_score as discriminative_score
from interpolants.sciml.processes.metrics.path_scores import marginal_distances as marginal_distances
from interpolants.sciml.processes.metrics.path_scores import path_dependence as path_dependence
from interpolants.sciml.processes.metrics.path_scores import predictive_score as predictive_score
from interpolants.sciml.processes.metrics.symbol_blocks import symbol_block_divergence as symbol_block_divergence
from interpolants.sciml.processes.predictive_questions import Continuations as Continuations
from interpolants.sciml.processes.predictive_questions import FreeGeneration as FreeGeneration
from interpolants.sciml.processes.problems.directed_chain import LinearDirectedChain as LinearDirectedChain
from interpolants.sciml.processes.problems.fractional_brownian import FractionalBrownianMotion as FractionalBrownianMotion
from interpolants.sciml.processes.problems.interacting_particles import FitzHughNagumoNetwork as FitzHughNagumoNetwork
from interpolants.sciml.processes.problems.interacting_particles import OpinionDynamics as OpinionDynamics
from interpolants.sciml.processes.problems.symbol_skeletons import hidden_regime as hidden_regime
from interpolants.sciml.processes.problems.symbol_skeletons import stochastic_skeleton as stochastic_skeleton
from interpolants.sciml.processes.pvrnn import PVRNN as PVRNN
from interpolants.sciml.processes.variational_rnn import VariationalRNN as VariationalRNN

__all__ = []
