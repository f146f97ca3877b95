"""Bridges learnt from samples, by one network and one length of training."""
