# Written by docs/methods.py from __init__.py and the cards.
from interpolants.generative.schrodinger.bridge import CoupledEnds as CoupledEnds
from interpolants.generative.schrodinger.bridge import LearntBridge as LearntBridge
from interpolants.generative.schrodinger.bridge import SchrodingerBridge as SchrodingerBridge
from interpolants.generative.schrodinger.couplings.light_coupling import LightCoupling as LightCoupling
from interpolants.generative.schrodinger.couplings.light_coupling import PlanCoupling as PlanCoupling
from interpolants.generative.schrodinger.couplings.light_plan import ConditionalMoments as ConditionalMoments
from interpolants.generative.schrodinger.couplings.light_plan import LightPlan as LightPlan
from interpolants.generative.schrodinger.couplings.light_settings import LightTraining as LightTraining
from interpolants.generative.schrodinger.couplings.light_training import fit_light_plan as fit_light_plan
from interpolants.generative.schrodinger.couplings.light_training import LightFit as LightFit
from interpolants.generative.schrodinger.drifts import DriftFields as DriftFields
from interpolants.generative.schrodinger.entropic_sb import EntropicSB as EntropicSB
from interpolants.generative.schrodinger.interpolant_sb import InterpolantSB as InterpolantSB
from interpolants.generative.schrodinger.learnt_interpolant import LearntInterpolant as LearntInterpolant
from interpolants.generative.schrodinger.light_sb import LightSB as LightSB
from interpolants.generative.schrodinger.problems.light_schrodinger import EOTMixturePair as EOTMixturePair
from interpolants.generative.schrodinger.problems.light_schrodinger import MixtureSchrodingerBridge as MixtureSchrodingerBridge

__all__ = ['ConditionalMoments', 'CoupledEnds', 'DriftFields', 'LearntBridge', 'LearntInterpolant', 'LightFit', 'LightPlan', 'LightTraining', 'SchrodingerBridge', 'fit_light_plan']
