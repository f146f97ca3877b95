# Written by docs/methods.py from __init__.py and the cards.


__all__ = []
