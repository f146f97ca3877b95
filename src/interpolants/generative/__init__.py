"""Further ways to learn distributions and to draw from them: families that never import each other."""

from typing import TYPE_CHECKING

from interpolants.foundations.cards import carded

if not TYPE_CHECKING:
    __getattr__ = carded(__name__)  # what has a card is public without an edit here
