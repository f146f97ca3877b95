"""Couplings of x0 and x1: how samples of the two ends become pairs."""

from typing import TYPE_CHECKING

from interpolants.couplings.catalogue import get_coupling
from interpolants.couplings.data_dependent import DataDependent, Degraded, Start
from interpolants.couplings.in_painting import InPainting
from interpolants.couplings.independent import Independent
from interpolants.couplings.minibatch_ot import MinibatchOT
from interpolants.couplings.paired import Paired
from interpolants.couplings.pairs import Coupling, Pairs, UnfittedCoupling
from interpolants.couplings.reflow import Reflow
from interpolants.couplings.semidiscrete import Semidiscrete
from interpolants.couplings.sinkhorn import EntropicPlan, Sinkhorn
from interpolants.couplings.super_resolution import SuperResolution
from interpolants.couplings.unbalanced import PartialOT, Unbalanced, UnbalancedPlan
from interpolants.couplings.wfr import GrowthPlan, WassersteinFisherRao
from interpolants.foundations.cards import carded

if not TYPE_CHECKING:
    __getattr__ = carded(__name__)  # what has a card is public without an edit here

__all__ = [
    "Coupling",
    "DataDependent",
    "Degraded",
    "EntropicPlan",
    "InPainting",
    "GrowthPlan",
    "Independent",
    "MinibatchOT",
    "Paired",
    "Pairs",
    "PartialOT",
    "Reflow",
    "Semidiscrete",
    "Sinkhorn",
    "Start",
    "SuperResolution",
    "Unbalanced",
    "UnbalancedPlan",
    "UnfittedCoupling",
    "WassersteinFisherRao",
    "get_coupling",
]
