"""Three solvers of the Schroedinger bridge on four problems, in one table."""
