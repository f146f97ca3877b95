"""Parts of uq alone: pde."""
