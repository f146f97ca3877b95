"""Latent generators: distributions on thin sets, as the image of few latent numbers."""

from typing import TYPE_CHECKING

from interpolants.foundations.cards import carded

if not TYPE_CHECKING:
    __getattr__ = carded(__name__)  # what has a card is public without an edit here
