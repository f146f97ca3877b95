"""Parts of causal alone: metrics."""
