"""Closures: what a theory of few moments takes the moments beyond it to be."""
