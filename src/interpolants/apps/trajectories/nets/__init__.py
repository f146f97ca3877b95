"""Parts of trajectories alone: nets."""
