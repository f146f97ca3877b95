"""Latent envelopes and noise levels on the checkerboard."""
