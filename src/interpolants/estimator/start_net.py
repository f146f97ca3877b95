"""The network of a forecaster: told where the process started, and whatever else is known."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from interpolants.estimator.conditions import numbers
from interpolants.foundations.errors import invalid
from interpolants.foundations.types import Condition
from interpolants.nets.build import choose_net


@dataclass(frozen=True)
class Given:
    """What kind of condition goes with each pair of states.

    Attributes:
        kind: ``"label"``, ``"vector"`` or ``"field"``.
        size: Number of labels, length of the vector, or channels of the field.
    """

    kind: str
    size: int

    @classmethod
    def of(cls, cond: Tensor | None) -> "Given | None":
        """Read it off the conditions themselves."""
        if cond is None:
            return None
        kind = kind_of(cond)
        return cls(kind, int(cond.max()) + 1 if kind == "label" else cond.shape[1])

    def fits(self, fitted: "Given") -> bool:
        """Whether a network made for ``fitted`` understands this."""
        same = self.size <= fitted.size if self.kind == "label" else self.size == fitted.size
        return self.kind == fitted.kind and same

    def __str__(self) -> str:
        return f"{self.kind}s of size {self.size}"


class StartNet(nn.Module):
    """A network that is told the start of the process: ``f(x, t, start_at(x0, cond))``.

    Args:
        net: Called as ``net(x, t, cond)`` with ``cond`` a dict of ``"vector"`` (or ``"field"``) holding x0, joined with
            a given vector (or field), and ``"label"`` where there are labels.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
        """The network's output, ``(B, *D)``."""
        x0, given = cond["x0"], cond["cond"]
        parts: dict[str, Tensor] = {"vector" if x.ndim == 2 else "field": x0}
        if given is not None:
            kind = kind_of(given)
            parts[kind] = torch.cat([parts[kind], given], 1) if kind in parts else given
        output: Tensor = self.net(x, t, parts)
        return output


def make_start_net(net: Any, shape: tuple[int, ...], given: Given | None, seed: int) -> StartNet:
    """A network by name, table or as it is, that takes x0 beside the given condition.

    Raises:
        InvalidInputError: If the name or a setting is unknown, or vectors come with fields as conditions.
    """
    if isinstance(net, nn.Module):
        return StartNet(net)
    settings = {"kind": net} if isinstance(net, str) else dict(net)
    kind, size = ("", 0) if given is None else (given.kind, given.size)
    if len(shape) == 1:
        if kind == "field":
            raise invalid(
                "Forecaster.fit", "cond must be labels or vectors for states that are vectors", "fields"
            )
        settings["cond_dim"] = shape[0] + (size if kind == "vector" else 0)
    else:
        settings["cond_channels"] = shape[0] + (size if kind == "field" else 0)
        if kind == "vector":
            settings["cond_dim"] = size
    if kind == "label":
        settings["n_classes"] = size
    own = choose_net(settings, shape, 1, None, seed, who="Forecaster")
    return StartNet(own.float())  # states are float32, whatever torch's default type


def kind_of(cond: Tensor) -> str:
    """Integers are labels; floats are vectors or fields by their dimension."""
    return "label" if not cond.is_floating_point() else "vector" if cond.ndim == 2 else "field"


def as_given(cond: Any, rows: int, who: str) -> Tensor | None:
    """Conditions as labels ``(N,)`` int64, vectors ``(N, C)`` or fields ``(N, C, *spatial)`` float32.

    Raises:
        InvalidInputError: If they are not numbers, not finite, or not one row per state.
    """
    if cond is None:
        return None
    tensor = numbers(cond, who, "cond")
    if tensor.ndim < 1 or len(tensor) != rows:
        raise invalid(who, f"cond must have one row per state, {rows}", tuple(tensor.shape))
    if not tensor.is_floating_point():
        if tensor.ndim != 1 or int(tensor.min()) < 0:
            raise invalid(who, "cond as labels must be (N,) integers >= 0", tuple(tensor.shape))
        return tensor
    if not bool(torch.isfinite(tensor).all()):
        raise invalid(who, "cond must be finite", "nan or inf")
    return (tensor[:, None] if tensor.ndim == 1 else tensor).float()
