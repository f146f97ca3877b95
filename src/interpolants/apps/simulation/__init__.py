"""Simulations: whole solutions of partial differential equations on meshes, from sentences or from first frames."""

from typing import TYPE_CHECKING

from interpolants.foundations.cards import carded

if not TYPE_CHECKING:
    __getattr__ = carded(__name__)  # what has a card is public without an edit here
