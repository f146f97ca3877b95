"""One module for each theme, with a function ``items(bench)`` that gives its tables one after the other."""
