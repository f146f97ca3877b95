"""Parts of speech alone: metrics."""
