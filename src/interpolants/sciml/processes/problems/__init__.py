"""Parts of processes alone: problems."""
