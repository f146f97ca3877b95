# Written by docs/methods.py from __init__.py and the cards.
from interpolants.apps.causal.causal_autoencoder import CausalAutoencoder as CausalAutoencoder
from interpolants.apps.causal.causal_questions import CodeDisentanglement as CodeDisentanglement
from interpolants.apps.causal.causal_questions import CounterfactualEffects as CounterfactualEffects
from interpolants.apps.causal.causal_rivals import PrincipalCodes as PrincipalCodes
from interpolants.apps.causal.causal_rivals import UnchangedImages as UnchangedImages
from interpolants.apps.causal.linear_causal_model import LinearCausalModel as LinearCausalModel
from interpolants.apps.causal.metrics.disentanglement import dci as dci
from interpolants.apps.causal.metrics.morphology import stroke_intensity as stroke_intensity
from interpolants.apps.causal.metrics.morphology import stroke_thickness as stroke_thickness
from interpolants.apps.causal.problems.pendulum_shadow import PendulumShadow as PendulumShadow
from interpolants.apps.causal.problems.thick_digits import ThickDigits as ThickDigits

__all__ = []
