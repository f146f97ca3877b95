"""Parts of pinn alone: nets."""
