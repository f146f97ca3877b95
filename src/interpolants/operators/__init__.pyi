# Written by docs/methods.py from __init__.py and the cards.
from interpolants.operators.blocks import Downsample as Downsample
from interpolants.operators.fourier import Blur as Blur
from interpolants.operators.fourier import PhaseRetrieval as PhaseRetrieval
from interpolants.operators.identity import Identity as Identity
from interpolants.operators.k_space import KSpaceLines as KSpaceLines
from interpolants.operators.mask import Mask as Mask
from interpolants.operators.measurement import as_matrix as as_matrix
from interpolants.operators.measurement import as_operator as as_operator
from interpolants.operators.measurement import check_measurement as check_measurement
from interpolants.operators.measurement import Matrix as Matrix
from interpolants.operators.measurement import Measurement as Measurement
from interpolants.operators.measurement import Operator as Operator
from interpolants.operators.rotated import Rotated as Rotated
from interpolants.operators.saturation import Saturate as Saturate

__all__ = ['Blur', 'Downsample', 'Mask', 'Matrix', 'Measurement', 'Operator', 'PhaseRetrieval', 'Rotated', 'Saturate', 'as_matrix', 'as_operator', 'check_measurement']
