"""Parts of bayes alone: data."""
