"""Parts of processes alone: metrics."""
