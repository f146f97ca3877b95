"""Parts of schrodinger alone: couplings."""
