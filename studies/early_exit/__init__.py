"""Does a rule that looks at each sample beat a network that is simply cut short?"""
