"""Powers, products and averages of known laws: weighted particles against the same dynamics without weights."""
