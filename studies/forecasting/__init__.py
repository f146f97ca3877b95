"""Forecasts from a point: one drift, several noise levels, against the known law of what comes."""
