"""Parts of weather alone: nets."""
