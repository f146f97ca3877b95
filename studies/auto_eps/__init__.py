"""The automatic choice of the noise level on a five-mode mixture in 128 dimensions."""
