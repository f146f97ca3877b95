"""What does a schedule of its own for every spatial frequency save in sampling steps?"""
