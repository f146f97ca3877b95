"""Studies: numerical experiments, each one command, over several seeds, with its results and figures kept here."""
