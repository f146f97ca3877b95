"""Parts of causal alone: nets."""
