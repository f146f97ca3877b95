"""Does asking a network at the time that fits the spread of a state make few steps better?"""
