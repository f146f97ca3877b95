"""Measurements that print and never judge: overheads over the bare network, beside peers that are installed."""
