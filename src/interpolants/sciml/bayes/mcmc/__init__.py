"""Parts of bayes alone: mcmc."""
