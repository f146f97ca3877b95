"""Couplings of x0 and x1: how samples of the two ends become pairs."""

from interpolants.couplings.catalogue import get_coupling
from interpolants.couplings.independent import Independent
from interpolants.couplings.minibatch_ot import MinibatchOT
from interpolants.couplings.paired import Paired
from interpolants.couplings.pairs import Coupling, Pairs
from interpolants.couplings.sinkhorn import EntropicPlan, Sinkhorn, SinkhornWarning

__all__ = [
    "Coupling",
    "EntropicPlan",
    "Independent",
    "MinibatchOT",
    "Paired",
    "Pairs",
    "Sinkhorn",
    "SinkhornWarning",
    "get_coupling",
]
