"""Parts of timeseries alone: metrics."""
