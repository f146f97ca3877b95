"""Number of rows that a bridge between two sets of digits needs."""
