# Written by docs/methods.py from __init__.py and the cards.
from interpolants.runs.method_view import MethodView as MethodView

__all__ = []
