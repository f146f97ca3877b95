"""What the weight of the divergence does to a network with adaptive vectors."""
