"""Parts of trajectories alone: data."""
