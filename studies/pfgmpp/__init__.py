"""The robustness study of Poisson flows in D extra dimensions."""
