# Written by docs/methods.py from __init__.py and the cards.
from interpolants.couplings.catalogue import get_coupling as get_coupling
from interpolants.couplings.data_dependent import DataDependent as DataDependent
from interpolants.couplings.data_dependent import Degraded as Degraded
from interpolants.couplings.data_dependent import Start as Start
from interpolants.couplings.in_painting import InPainting as InPainting
from interpolants.couplings.independent import Independent as Independent
from interpolants.couplings.minibatch_ot import MinibatchOT as MinibatchOT
from interpolants.couplings.paired import Paired as Paired
from interpolants.couplings.pairs import Coupling as Coupling
from interpolants.couplings.pairs import Pairs as Pairs
from interpolants.couplings.pairs import UnfittedCoupling as UnfittedCoupling
from interpolants.couplings.reflow import Reflow as Reflow
from interpolants.couplings.semidiscrete import Semidiscrete as Semidiscrete
from interpolants.couplings.sinkhorn import EntropicPlan as EntropicPlan
from interpolants.couplings.sinkhorn import Sinkhorn as Sinkhorn
from interpolants.couplings.super_resolution import SuperResolution as SuperResolution
from interpolants.couplings.unbalanced import PartialOT as PartialOT
from interpolants.couplings.unbalanced import Unbalanced as Unbalanced
from interpolants.couplings.unbalanced import UnbalancedPlan as UnbalancedPlan
from interpolants.couplings.wfr import GrowthPlan as GrowthPlan
from interpolants.couplings.wfr import WassersteinFisherRao as WassersteinFisherRao

__all__ = ['Coupling', 'DataDependent', 'Degraded', 'EntropicPlan', 'GrowthPlan', 'InPainting', 'Independent', 'MinibatchOT', 'Paired', 'Pairs', 'PartialOT', 'Reflow', 'Semidiscrete', 'Sinkhorn', 'Start', 'SuperResolution', 'Unbalanced', 'UnbalancedPlan', 'UnfittedCoupling', 'WassersteinFisherRao', 'get_coupling']
