"""Parts of processes alone: data."""
