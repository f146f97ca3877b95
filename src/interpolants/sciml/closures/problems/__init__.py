"""Parts of closures alone: problems."""
