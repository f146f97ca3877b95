"""Attacks on the library, one file each; ``python -m torture`` counts what came of them in RELIABILITY.md."""
