"""Parts of pinn alone: data."""
