"""Uncertainty of a part of a larger model: random motion of its interface, learnt from a few runs of the whole."""
