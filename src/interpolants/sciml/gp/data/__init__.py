"""Parts of gp alone: data."""
