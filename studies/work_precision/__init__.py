"""Solvers of this library and of two others, each at its best settings, on one mixture with exact fields."""
