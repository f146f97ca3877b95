"""Powers, products and averages of known distributions: weighted particles against the same dynamics unweighted."""
