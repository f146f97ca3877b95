"""Parts of timeseries alone: nets."""
