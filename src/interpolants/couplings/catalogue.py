"""Couplings by name."""

from dataclasses import fields
from typing import Any

from interpolants.couplings.independent import Independent
from interpolants.couplings.minibatch_ot import MinibatchOT
from interpolants.couplings.paired import Paired
from interpolants.couplings.pairs import Coupling
from interpolants.couplings.sinkhorn import Sinkhorn
from interpolants.foundations.errors import invalid, nearest

_COUPLINGS = {
    "independent": Independent,
    "minibatch_ot": MinibatchOT,
    "paired": Paired,
    "sinkhorn": Sinkhorn,
}


def get_coupling(name: str, **settings: Any) -> Coupling:
    """A coupling by its name, e.g. ``get_coupling("sinkhorn", reg=0.1)``.

    Args:
        name: ``independent``, ``paired``, ``minibatch_ot`` or ``sinkhorn``.
        **settings: Arguments of the class.

    Raises:
        InvalidInputError: For an unknown name or setting, with the nearest one.
    """
    if name not in _COUPLINGS:
        raise invalid("get_coupling", "name must be a coupling", name, nearest(str(name), _COUPLINGS))
    cls = _COUPLINGS[name]
    known = [field.name for field in fields(cls)]
    for key in settings:
        if key not in known:
            remedy = nearest(key, known) if known else f"{cls.__name__} has no settings."
            raise invalid("get_coupling", f"settings of {name!r} must be known", key, remedy)
    coupling: Coupling = cls(**settings)
    return coupling
