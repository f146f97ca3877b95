"""Multimarginal interpolants: all-to-all maps of shapes and digits, and a snapshot that was left out of a series."""
