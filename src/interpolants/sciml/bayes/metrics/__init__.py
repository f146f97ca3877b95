"""Parts of bayes alone: metrics."""
