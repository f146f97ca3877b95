"""Parts of symbolic alone: problems."""
