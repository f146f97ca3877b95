"""Forecasts from a point: one drift, several noise levels, against the known distribution of what comes."""
