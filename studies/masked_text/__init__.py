"""Masked diffusion of text: first hitting against a grid, a model of the King James Bible, coarse noise."""
