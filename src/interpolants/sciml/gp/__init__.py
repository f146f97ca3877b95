"""Gaussian processes: tensors with continuous indices."""
