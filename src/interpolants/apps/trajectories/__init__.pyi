# Written by docs/methods.py from __init__.py and the cards.
from interpolants.apps.trajectories.data.storm_motions import load_storm_motions as load_storm_motions
from interpolants.apps.trajectories.data.storms import load_atlantic_storms as load_atlantic_storms
from interpolants.apps.trajectories.geometric_diffusion import GeometricDiffusion as GeometricDiffusion
from interpolants.apps.trajectories.metrics.displacement_errors import displacement as displacement
from interpolants.apps.trajectories.problems.charged_particles import ChargedParticles as ChargedParticles
from interpolants.apps.trajectories.track_extrapolation import TrackExtrapolation as TrackExtrapolation
from interpolants.apps.trajectories.track_questions import TrackDisplacement as TrackDisplacement
from interpolants.apps.trajectories.track_questions import TrackSymmetry as TrackSymmetry

__all__ = []
