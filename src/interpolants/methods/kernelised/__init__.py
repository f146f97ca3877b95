"""Kernelised interpolants: velocities from one linear system per time, without training."""
