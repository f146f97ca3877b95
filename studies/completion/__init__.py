"""How well do two heuristics complete images of which one half is known?"""
