"""Precision-weighted guidance of known forecasts: where it helps and where it harms."""
