"""Parts of simulation alone: data."""
