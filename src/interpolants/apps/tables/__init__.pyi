# Written by docs/methods.py from __init__.py and the cards.
from interpolants.apps.tables.mixed_table import MixedTable as MixedTable
from interpolants.apps.tables.table_bridge import TableBridge as TableBridge
from interpolants.apps.tables.table_questions import Detection as Detection
from interpolants.apps.tables.table_questions import RecordCopies as RecordCopies
from interpolants.apps.tables.table_questions import Utility as Utility
from interpolants.apps.tables.table_rivals import BootstrapRows as BootstrapRows
from interpolants.apps.tables.table_rivals import GaussianCopula as GaussianCopula
from interpolants.apps.tables.table_rivals import IndependentColumns as IndependentColumns

__all__ = []
