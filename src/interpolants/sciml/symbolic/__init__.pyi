# Written by docs/methods.py from __init__.py and the cards.
from interpolants.sciml.symbolic.fitted_equations import FittedEquations as FittedEquations
from interpolants.sciml.symbolic.operator_transformer import SymbolicOperatorTransformer as SymbolicOperatorTransformer
from interpolants.sciml.symbolic.problems.equation_families import EquationFamilies as EquationFamilies
from interpolants.sciml.symbolic.recovered_equations import RecoveredEquations as RecoveredEquations

__all__ = []
