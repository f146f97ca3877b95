# Written by docs/methods.py from __init__.py and the cards.
from interpolants.generative.latent_generator.latent_generator import LatentGenerator as LatentGenerator
from interpolants.generative.latent_generator.marginal import MarginalLikelihood as MarginalLikelihood

__all__ = []
