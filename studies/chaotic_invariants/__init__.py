"""Are the annotated invariants of known chaotic flows those of the flows?"""
