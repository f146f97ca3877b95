"""Does causal training solve what plain training fails at, with the same network and the same number of steps?"""
