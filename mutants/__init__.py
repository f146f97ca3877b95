"""Mutation check: faults put into formulas on purpose, and whether the tests see them."""
