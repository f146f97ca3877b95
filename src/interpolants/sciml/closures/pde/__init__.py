"""Parts of closures alone: pde."""
