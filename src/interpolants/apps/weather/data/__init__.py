"""Parts of weather alone: data."""
