"""Parts of trajectories alone: metrics."""
