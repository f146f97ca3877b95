"""Rivals: plain methods of the same form, which every question can run on the same task."""
