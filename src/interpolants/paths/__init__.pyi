# Written by docs/methods.py from __init__.py and the cards.
from interpolants.foundations.registry import build
from interpolants.paths.bases import Basis as Basis
from interpolants.paths.bases import CosineBasis as CosineBasis
from interpolants.paths.bases import FourierBasis as FourierBasis
from interpolants.paths.bases import MatrixBasis as MatrixBasis
from interpolants.paths.custom import General as General
from interpolants.paths.custom import SpatiallyLinear as SpatiallyLinear
from interpolants.paths.discrete_schedule import DiscreteSchedule as DiscreteSchedule
from interpolants.paths.discrete_schedule import linear_betas as linear_betas
from interpolants.paths.edm import EDM as EDM
from interpolants.paths.encoder_decoder import EncoderDecoder as EncoderDecoder
from interpolants.paths.ends import Ends as Ends
from interpolants.paths.envelopes import BrownianEnvelope as BrownianEnvelope
from interpolants.paths.envelopes import CustomEnvelope as CustomEnvelope
from interpolants.paths.envelopes import Envelope as Envelope
from interpolants.paths.envelopes import QuadraticEnvelope as QuadraticEnvelope
from interpolants.paths.envelopes import SigmoidEnvelope as SigmoidEnvelope
from interpolants.paths.envelopes import SineSquaredEnvelope as SineSquaredEnvelope
from interpolants.paths.envelopes import ZeroEnvelope as ZeroEnvelope
from interpolants.paths.fitted import UnfittedPath as UnfittedPath
from interpolants.paths.kinetic import kinetic_energy as kinetic_energy
from interpolants.paths.kinetic import KineticOptimal as KineticOptimal
from interpolants.paths.linear import Linear as Linear
from interpolants.paths.linear import OneSidedLinear as OneSidedLinear
from interpolants.paths.mirror import Diffusive as Diffusive
from interpolants.paths.mirror import Mirror as Mirror
from interpolants.paths.ouve import OUVE as OUVE
from interpolants.paths.path import Path as Path
from interpolants.paths.path import PathSample as PathSample
from interpolants.paths.path import SpatiallyLinearPath as SpatiallyLinearPath
from interpolants.paths.separation import data_separation as data_separation
from interpolants.paths.separation import DataSeparation as DataSeparation
from interpolants.paths.shortest import fisher_rao_length as fisher_rao_length
from interpolants.paths.shortest import ShortestPath as ShortestPath
from interpolants.paths.spectral import Spectral as Spectral
from interpolants.paths.spectral import SpectralPath as SpectralPath
from interpolants.paths.student_t import StudentT as StudentT
from interpolants.paths.tabulated import Tabulated as Tabulated
from interpolants.paths.trigonometric import OneSidedTrigonometric as OneSidedTrigonometric
from interpolants.paths.trigonometric import Trigonometric as Trigonometric
from interpolants.paths.variance_preserving import VariancePreserving as VariancePreserving
from interpolants.paths.ve import VE as VE
from interpolants.paths.vp import SubVP as SubVP
from interpolants.paths.vp import VP as VP
from typing import Any

def get_path(name: str, **settings: Any) -> Path:
    ...

__all__ = ['Basis', 'BrownianEnvelope', 'CosineBasis', 'CustomEnvelope', 'DataSeparation', 'Diffusive', 'DiscreteSchedule', 'EDM', 'EncoderDecoder', 'Ends', 'Envelope', 'FourierBasis', 'General', 'KineticOptimal', 'Linear', 'MatrixBasis', 'Mirror', 'OneSidedLinear', 'OneSidedTrigonometric', 'Path', 'PathSample', 'QuadraticEnvelope', 'ShortestPath', 'SigmoidEnvelope', 'SineSquaredEnvelope', 'SpatiallyLinear', 'SpatiallyLinearPath', 'Spectral', 'SpectralPath', 'StudentT', 'SubVP', 'Tabulated', 'Trigonometric', 'UnfittedPath', 'VE', 'VP', 'VariancePreserving', 'ZeroEnvelope', 'data_separation', 'fisher_rao_length', 'get_path', 'kinetic_energy', 'linear_betas']
