"""Parts of gp alone: kernels."""
