"""Parts of uq alone: problems."""
