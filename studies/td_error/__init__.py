"""Does an agent learn better with critics that model the law of their temporal-difference errors?"""
