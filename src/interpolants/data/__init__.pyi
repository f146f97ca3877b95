# Written by docs/methods.py from __init__.py and the cards.
from interpolants.data.alphabet import Alphabet as Alphabet
from interpolants.data.arrays import as_tensor as as_tensor
from interpolants.data.arrays import Kind as Kind
from interpolants.data.arrays import restore as restore
from interpolants.data.bundled import DataInfo as DataInfo
from interpolants.data.bundled import Dataset as Dataset
from interpolants.data.catalogue import available as available
from interpolants.data.catalogue import load as load
from interpolants.data.column_transforms import Asinh as Asinh
from interpolants.data.column_transforms import ColumnMap as ColumnMap
from interpolants.data.column_transforms import ColumnTransform as ColumnTransform
from interpolants.data.column_transforms import Interval as Interval
from interpolants.data.column_transforms import Log as Log
from interpolants.data.files import FileArray as FileArray
from interpolants.data.files import read_array as read_array
from interpolants.data.quantile_transform import Quantile as Quantile
from interpolants.data.sets.brain_slices import load_brain_slices as load_brain_slices
from interpolants.data.sets.cells import load_krumsiek11 as load_krumsiek11
from interpolants.data.sets.cells import load_pbmc68k as load_pbmc68k
from interpolants.data.sets.demand import load_electricity_demand as load_electricity_demand
from interpolants.data.sets.images import load_digits as load_digits
from interpolants.data.sets.images import load_fashion_mnist as load_fashion_mnist
from interpolants.data.sets.measured_tables import load_boston_housing as load_boston_housing
from interpolants.data.sets.measured_tables import load_concrete as load_concrete
from interpolants.data.sets.measured_tables import load_diabetes as load_diabetes
from interpolants.data.sets.measured_tables import load_leaves as load_leaves
from interpolants.data.sets.pedestrians import load_pedestrian_counts as load_pedestrian_counts
from interpolants.data.sets.photographs import load_photographs as load_photographs
from interpolants.data.sets.sea_temperature import load_sea_temperature as load_sea_temperature
from interpolants.data.sets.tables import load_breast_cancer as load_breast_cancer
from interpolants.data.sets.tables import load_diamonds as load_diamonds
from interpolants.data.sets.tables import load_flights as load_flights
from interpolants.data.sets.tables import load_letter as load_letter
from interpolants.data.sets.tables import load_shuttle as load_shuttle
from interpolants.data.sets.tables import load_wine as load_wine

__all__ = ['Alphabet', 'Asinh', 'ColumnMap', 'ColumnTransform', 'DataInfo', 'Dataset', 'FileArray', 'Interval', 'Kind', 'Log', 'Quantile', 'as_tensor', 'available', 'load', 'load_boston_housing', 'load_breast_cancer', 'load_concrete', 'load_diabetes', 'load_diamonds', 'load_digits', 'load_fashion_mnist', 'load_flights', 'load_krumsiek11', 'load_leaves', 'load_letter', 'load_pbmc68k', 'load_photographs', 'load_shuttle', 'load_wine', 'read_array', 'restore']
