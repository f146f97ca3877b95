"""Reinforcement learning with temporal-difference errors whose noise is modelled: values with their uncertainty."""
