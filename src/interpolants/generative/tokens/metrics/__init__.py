"""Parts of tokens alone: metrics."""
