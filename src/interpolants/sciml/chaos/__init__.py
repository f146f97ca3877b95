"""Chaotic systems as a benchmark of forecasts, with their invariants."""
