"""Parts of processes alone: kernels."""
