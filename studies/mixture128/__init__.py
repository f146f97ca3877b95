"""Learning {b, v} x {s, eta} on a five-mode mixture in 128 dimensions, sampled at several noise levels."""
