"""Modes that neither end has, in the distribution of x_t between two mixtures, and what they cost."""
