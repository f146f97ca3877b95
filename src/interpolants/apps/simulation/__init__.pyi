# Written by docs/methods.py from __init__.py and the cards.
from interpolants.apps.simulation.frame_stepper import FrameStepper as FrameStepper
from interpolants.apps.simulation.problems.plume import GaussianPlume as GaussianPlume
from interpolants.apps.simulation.simulation_questions import ContinuedSimulations as ContinuedSimulations
from interpolants.apps.simulation.simulation_questions import PromptedSimulations as PromptedSimulations
from interpolants.apps.simulation.text_to_simulation import TextToSimulation as TextToSimulation

__all__ = []
