"""Samples after 2 to 50 evaluations of a network, beside other libraries."""
