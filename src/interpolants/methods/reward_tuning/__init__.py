"""Tuning of a fitted bridge by a reward."""
