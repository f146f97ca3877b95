"""Runs of recipes: from a file of settings to a folder with models, answers and a report."""
