"""Quality against seconds and evaluations, for every way to sample faster."""
