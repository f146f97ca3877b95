"""Parts of schrodinger alone: problems."""
