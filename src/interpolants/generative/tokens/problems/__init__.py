"""Parts of tokens alone: problems."""
