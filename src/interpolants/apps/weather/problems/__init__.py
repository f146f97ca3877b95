"""Parts of weather alone: problems."""
