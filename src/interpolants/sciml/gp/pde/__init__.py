"""Parts of gp alone: pde."""
