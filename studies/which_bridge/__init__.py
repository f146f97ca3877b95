"""Every path and every sampler of the library on shared problems, at equal numbers of evaluations."""
