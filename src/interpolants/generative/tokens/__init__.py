"""Tokens: texts, codes and other sequences over a finite vocabulary, learnt by masked diffusion."""

from typing import TYPE_CHECKING

from interpolants.foundations.cards import carded

if not TYPE_CHECKING:
    __getattr__ = carded(__name__)  # what has a card is public without an edit here
