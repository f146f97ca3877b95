"""Restoration with one prior and no training: optimisation, guidance and particles against exact posteriors."""
