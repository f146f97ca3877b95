"""Parts of theory alone: data."""
