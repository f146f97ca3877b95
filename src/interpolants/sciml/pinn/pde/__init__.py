"""Parts of pinn alone: pde."""
