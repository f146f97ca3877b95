# Written by docs/methods.py from __init__.py and the cards.
from interpolants.diagnostics.density_gap import accumulated_residual as accumulated_residual
from interpolants.diagnostics.density_gap import log_density_mismatch as log_density_mismatch
from interpolants.diagnostics.density_gap import Mismatch as Mismatch
from interpolants.diagnostics.gradient_affinity import task_affinity as task_affinity
from interpolants.diagnostics.helmholtz import asymmetry as asymmetry
from interpolants.diagnostics.helmholtz import conservative_projection as conservative_projection
from interpolants.diagnostics.helmholtz import gauge_residual as gauge_residual
from interpolants.diagnostics.helmholtz import helmholtz as helmholtz
from interpolants.diagnostics.helmholtz import Projection as Projection
from interpolants.diagnostics.helmholtz import Split as Split
from interpolants.diagnostics.intrinsic_dimension import Dimension as Dimension
from interpolants.diagnostics.intrinsic_dimension import intrinsic_dimension as intrinsic_dimension
from interpolants.diagnostics.ode_sde_gap import flow_score as flow_score
from interpolants.diagnostics.ode_sde_gap import FlowScore as FlowScore
from interpolants.diagnostics.ode_sde_gap import ode_sde_gap as ode_sde_gap
from interpolants.diagnostics.ode_sde_gap import OdeSdeGap as OdeSdeGap
from interpolants.diagnostics.trajectory_filter import TrajectoryFilter as TrajectoryFilter
from interpolants.diagnostics.transfer_gap import negative_transfer_gap as negative_transfer_gap

__all__ = ['Dimension', 'FlowScore', 'Mismatch', 'OdeSdeGap', 'Projection', 'Split', 'accumulated_residual', 'asymmetry', 'conservative_projection', 'flow_score', 'gauge_residual', 'helmholtz', 'intrinsic_dimension', 'log_density_mismatch', 'ode_sde_gap']
