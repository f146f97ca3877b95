"""Can samples between modes be told by their own trajectories?"""
