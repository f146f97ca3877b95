"""Do features of an encoder, kept over several steps, beat a run of fewer steps?"""
