"""Two solvers of the Schroedinger bridge: against the closed form between Gaussians, and against each other."""
