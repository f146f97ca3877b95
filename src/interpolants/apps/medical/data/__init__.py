"""Parts of medical alone: data."""
