"""Settings of networks with latent layers, checked: sizes and time constants, and weights of the divergence."""

from collections.abc import Iterable, Mapping
from typing import Any

from interpolants.foundations.checks import number, whole
from interpolants.foundations.errors import invalid, nearest
from interpolants.sciml.processes.latent_recurrence import Layer
from interpolants.sciml.processes.predictive_model import MetaPrior


def layers_of(tables: Any) -> list[Layer]:
    """Layers of tables.

    Raises:
        InvalidInputError: If there is none, or a size or time constant is out of range.
    """
    if isinstance(tables, Mapping) or not isinstance(tables, Iterable) or not tuple(tables):
        raise invalid("PVRNN", "layers must be a list of tables", tables, "E.g. [{'d': 12, 'z': 1}].")
    return [_layer(k, table) for k, table in enumerate(tables)]


def meta_prior_of(later: Any, first: Any, layers: int) -> MetaPrior:
    """Weights of the divergence, one number or one for each layer; at the first step as later where None.

    Raises:
        InvalidInputError: If one is negative, or there are not as many as layers.
    """
    first = later if first is None else first
    return MetaPrior(_weights("meta_prior", later, layers), _weights("first_meta_prior", first, layers))


def _layer(k: int, table: Any) -> Layer:
    """A layer of a table.

    Raises:
        InvalidInputError: If it is none, or a size or time constant is out of range.
    """
    who = "PVRNN"
    if not isinstance(table, Mapping):
        raise invalid(who, f"layer {k} must be a table", table, "E.g. {'d': 12, 'z': 1, 'tau': 1.5}.")
    for name in table:
        if name not in ("d", "z", "tau"):
            known = nearest(str(name), ("d", "z", "tau"))
            raise invalid(who, f"a layer has d, z and tau (layer {k})", repr(name), known)
    d = whole(who, f"d of layer {k}", table.get("d", 12), at_least=1)
    z = whole(who, f"z of layer {k}", table.get("z", 1), at_least=1)
    tau = table.get("tau", 1.5)
    taus = tau if isinstance(tau, list | tuple) else (tau,)
    checked = tuple(number(who, f"tau of layer {k}", one, at_least=1) for one in taus)
    if len(checked) not in (1, d):
        raise invalid(who, f"tau of layer {k} must be one number, or one for each of {d} units", len(checked))
    return Layer(d, z, checked if len(checked) == d else checked[0])


def _weights(name: str, given: Any, count: int) -> tuple[float, ...]:
    """Values of w, one for each layer.

    Raises:
        InvalidInputError: If one is negative, or there are not as many as layers.
    """
    many = tuple(given) if isinstance(given, list | tuple) else (given,) * count
    if len(many) != count:
        raise invalid("PVRNN", f"{name} must be one number, or one for each of {count} layers", len(many))
    return tuple(number("PVRNN", name, one, at_least=0) for one in many)
