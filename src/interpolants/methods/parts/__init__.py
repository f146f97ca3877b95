"""Parts that several methods share: choices by name, start points, conditions of networks."""
