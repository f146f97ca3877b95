"""Couplings by name."""

from typing import Any

from interpolants.couplings.pairs import Coupling
from interpolants.foundations.registry import build


def get_coupling(name: str, **settings: Any) -> Coupling:
    """A coupling by the id of its card, e.g. ``get_coupling("sinkhorn", reg=0.1)``.

    Args:
        name: ``independent``, ``paired``, ``minibatch_ot`` or ``sinkhorn``.
        **settings: Arguments of the class.

    Raises:
        InvalidInputError: For an unknown name or setting, with the nearest one.
    """
    coupling: Coupling = build("coupling", name, **settings)
    return coupling
