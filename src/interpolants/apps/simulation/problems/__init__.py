"""Parts of simulation alone: problems."""
