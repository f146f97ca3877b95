"""Parts of weather alone: metrics."""
