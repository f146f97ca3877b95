"""Questions of the core: quality of samples, densities, forecasts, predictions, restorations."""
