"""Does the schedule of least kinetic energy sample better in few steps?"""
