"""Bayesian neural networks: functional priors, and priors that are learnt from many tasks."""
