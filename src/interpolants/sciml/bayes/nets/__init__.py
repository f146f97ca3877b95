"""Parts of bayes alone: nets."""
