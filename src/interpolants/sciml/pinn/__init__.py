"""Physics-informed networks: functions that are trained to have no residual."""
