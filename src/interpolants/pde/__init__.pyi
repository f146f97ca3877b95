# Written by docs/methods.py from __init__.py and the cards.
from interpolants.pde.allen_cahn import AllenCahn as AllenCahn
from interpolants.pde.box import BoxPDE as BoxPDE
from interpolants.pde.box import BoxProblem as BoxProblem
from interpolants.pde.evolution import check_evolution as check_evolution
from interpolants.pde.evolution import Evolution as Evolution
from interpolants.pde.evolution import Jet as Jet
from interpolants.pde.fourier import etdrk4 as etdrk4
from interpolants.pde.fourier import FourierGrid as FourierGrid
from interpolants.pde.fourier import FourierTrajectory as FourierTrajectory
from interpolants.pde.kuramoto_sivashinsky import KuramotoSivashinsky as KuramotoSivashinsky
from interpolants.pde.manufactured import Manufactured as Manufactured
from interpolants.pde.ordinary import ODE as ODE
from interpolants.pde.ordinary import OrdinarySystem as OrdinarySystem
from interpolants.pde.periodic import PeriodicEquation as PeriodicEquation
from interpolants.pde.periodic import PeriodicPDE as PeriodicPDE
from interpolants.pde.periodic import SemilinearEquation as SemilinearEquation
from interpolants.pde.trajectory import Trajectory as Trajectory

__all__ = ['AllenCahn', 'BoxPDE', 'BoxProblem', 'Evolution', 'FourierGrid', 'FourierTrajectory', 'Jet', 'KuramotoSivashinsky', 'Manufactured', 'ODE', 'OrdinarySystem', 'PeriodicEquation', 'PeriodicPDE', 'SemilinearEquation', 'Trajectory', 'check_evolution', 'etdrk4']
