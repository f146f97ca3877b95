"""Parts of causal alone: problems."""
