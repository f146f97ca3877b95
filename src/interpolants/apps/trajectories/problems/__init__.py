"""Parts of trajectories alone: problems."""
