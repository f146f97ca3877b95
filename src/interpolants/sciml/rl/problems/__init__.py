"""Parts of rl alone: problems."""
