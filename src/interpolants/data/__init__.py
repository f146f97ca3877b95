"""Samples: data sets inside installed packages, a user's files, a user's arrays."""
