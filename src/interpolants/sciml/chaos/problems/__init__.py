"""Parts of chaos alone: problems."""
