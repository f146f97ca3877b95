"""Toy members, one of every sort that the form must carry; the fixture ``rooms`` installs their cards.

A room has a method, and ``quick()``: an unfitted method and values of its roles, for the law tests.
"""
