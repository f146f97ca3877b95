"""Modes that neither end has, in the law of x_t between two mixtures, and what they cost."""
