"""Tables of numbers, words, dates and gaps: new rows, conditional rows, filled cells, and how good they are."""

from typing import TYPE_CHECKING

from interpolants.foundations.cards import carded

if not TYPE_CHECKING:
    __getattr__ = carded(__name__)  # what has a card is public without an edit here
