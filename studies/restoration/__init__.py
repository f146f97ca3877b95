"""In-painting and super-resolution of small images: bridges from the degraded image against two baselines."""
