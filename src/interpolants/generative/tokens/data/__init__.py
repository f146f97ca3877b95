"""Parts of tokens alone: data."""
