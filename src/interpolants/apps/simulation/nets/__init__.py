"""Parts of simulation alone: nets."""
