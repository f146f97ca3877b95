"""Does a score that is a gradient tell the dimension of the data better than a plain network?"""
