"""Embeddings of the time and of a condition that may be absent.

A condition is *null* where a sample has none: label -1, or a vector or field of NaN only. The null has its own
learnt embedding, which is what classifier-free guidance evaluates; ``cond=None`` makes the whole batch null.

Letters: B rows of the batch, E width of an embedding, F number of time features, C length of a condition vector.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from interpolants.foundations.checks import is_whole, number, whole
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.ops import expand_like
from interpolants.foundations.types import Condition
from interpolants.nets.net import empty_table

_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
_KINDS = ("label", "vector", "field")
_FORMS = {"label": "integer labels (B,)", "vector": "vectors (B, C)", "field": "fields (B, C, *spatial)"}


class FourierTime(nn.Module):
    """Fixed Fourier features of the time.

    ``phi(t) = (sin 2 pi f_k t, cos 2 pi f_k t)_k`` with ``f_k = low (high / low)^(k / (K - 1))``, ``K = features / 2``.
    The lowest default frequency is a quarter turn over [0, 1], so that phi is one-to-one there.

    The phases are formed in float32 (float64 in a float64 network) also when the network is of half precision:
    bfloat16 would round the high frequencies by a whole radian.

    Args:
        features: F, even and >= 0; 0 makes a network that ignores the time.
        low: Lowest frequency, in turns per unit of time, > 0.
        high: Highest frequency, >= ``low``.

    Raises:
        InvalidInputError: For a setting outside its range.

    Source: Tancik et al. (2020), arXiv:2006.10739, with fixed frequencies instead of random ones.
    """

    rate: Tensor
    phase: Tensor

    def __init__(self, features: int, *, low: float = 0.25, high: float = 16.0) -> None:
        super().__init__()
        if not is_whole(features) or features < 0 or features % 2:
            raise invalid("FourierTime", "features must be an even whole number >= 0", features)
        if not 0 < low <= high < math.inf:
            raise invalid("FourierTime", "frequencies must satisfy 0 < low <= high < inf", (low, high))
        self.features = features = int(features)
        pairs = features // 2
        turns = [low * (high / low) ** (k / max(pairs - 1, 1)) for k in range(pairs)]
        self._rates = [2 * math.pi * f for f in turns] * 2
        self._phases = [0.0] * pairs + [math.pi / 2] * pairs  # cos a = sin(a + pi / 2): one kernel makes both
        double = torch.get_default_dtype() == torch.float64
        self._fill(torch.empty(0, dtype=torch.float64 if double else torch.float32))

    def forward(self, t: Tensor) -> Tensor:
        """Features of the times: ``()`` -> ``(F,)``, ``(B,)`` -> ``(B, F)``; type float32 or float64."""
        t = t.to(self.rate.dtype)
        return torch.sin(torch.addcmul(self.phase, t.unsqueeze(-1), self.rate))

    def _fill(self, like: Tensor) -> None:
        dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
        for name, values in (("rate", self._rates), ("phase", self._phases)):
            value = torch.tensor(values, dtype=dtype, device=like.device)
            self.register_buffer(name, value, persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "FourierTime":
        """Follow the module's device and type, but never be rounded below float32."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._fill(self.rate)
        return self


class Parts(NamedTuple):
    """A condition by kind; None where it is null for the whole batch.

    Attributes:
        label: (B,), int32 or int64.
        vector: (B, C).
        field: (B, C, *spatial).
    """

    label: Tensor | None = None
    vector: Tensor | None = None
    field: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class ConditionKinds:
    """Condition specification of a network.

    Args:
        who: Name of the network, for the errors.
        n_classes: Number of labels, 0 ... n_classes - 1; None for none.
        cond_dim: C, length of its vectors; None for none.
        cond_channels: Channels of its fields; 0 for none.

    Attributes:
        known: The kinds, among ``label``, ``vector`` and ``field``.

    Raises:
        InvalidInputError: For a setting outside its range.
    """

    who: str
    n_classes: int | None = None
    cond_dim: int | None = None
    cond_channels: int = 0
    known: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        for name in ("n_classes", "cond_dim"):
            if (value := getattr(self, name)) is not None:
                whole(self.who, name, value, at_least=1)
        whole(self.who, "cond_channels", self.cond_channels)
        taken = (self.n_classes is not None, self.cond_dim is not None, self.cond_channels > 0)
        known = tuple(kind for kind, on in zip(_KINDS, taken, strict=True) if on)
        object.__setattr__(self, "known", known)  # once: `split` runs at every evaluation

    def split(self, cond: Condition, x: Tensor) -> Parts:
        """Tell what a condition is, and check its shape; its values are not read, so that nothing waits for them.

        Args:
            cond: None; a tensor of integer labels (B,), vectors (B, C) or fields (B, C, *spatial); or, for a network
                that takes several kinds, a dict of them by the names ``label``, ``vector`` and ``field``, in which an
                absent one is null.
            x: The states that it belongs to, (B, *D).

        Raises:
            InvalidInputError: If ``cond`` is not what the network takes.
        """
        if cond is None:
            return Parts()
        if not self.known:
            remedy = "Make the network with n_classes= or cond_dim=, or cond_channels= for a U-Net."
            raise invalid(
                self.who, "cond must be None, as the network takes no condition", _shown(cond), remedy
            )
        parts = Parts(**self._named(cond))
        if parts.label is not None:
            self._check(parts.label, "label", (x.shape[0],))
        if parts.vector is not None:
            self._check(parts.vector, "vector", (x.shape[0], self.cond_dim))
        if parts.field is not None:
            self._check(parts.field, "field", (x.shape[0], self.cond_channels, *x.shape[2:]))
        return parts

    def _named(self, cond: Any) -> dict[str, Tensor | None]:
        if isinstance(cond, Tensor):
            return {self._kind(cond): cond}
        if not isinstance(cond, dict):
            rule = f"cond must be None or a tensor of {' or '.join(_FORMS[kind] for kind in self.known)}"
            raise invalid(self.who, rule, type(cond).__name__, "Convert it with torch.as_tensor.")
        for kind, value in cond.items():
            if kind not in self.known:
                rule = f"cond must be of a kind it takes ({', '.join(self.known)})"
                raise invalid(self.who, rule, repr(kind), nearest(str(kind), self.known))
            if not (value is None or isinstance(value, Tensor)):
                raise invalid(self.who, f"cond {kind} must be a tensor", type(value).__name__)
        return cond

    def _kind(self, cond: Tensor) -> str:
        """Kind of a bare tensor: integers are labels, floats are vectors or fields by their dimension."""
        if len(self.known) == 1:
            return self.known[0]
        kind = "label" if not cond.is_floating_point() else "vector" if cond.ndim == 2 else "field"
        if kind not in self.known:
            rule = f"cond must be {' or '.join(_FORMS[kind] for kind in self.known)}"
            raise invalid(self.who, rule, f"{cond.dtype} of shape {tuple(cond.shape)}")
        return kind

    def _check(self, part: Tensor, kind: str, shape: tuple[int | None, ...]) -> None:
        if tuple(part.shape) != shape:
            rule = f"cond {kind} must have shape {shape}, one row per sample"
            raise invalid(self.who, rule, tuple(part.shape))
        if kind == "label" and part.dtype not in _INTEGERS:
            raise invalid(self.who, "labels must be integers", str(part.dtype), "Convert them with .long().")
        if kind != "label" and not part.is_floating_point():
            remedy = "Convert it with .float()."
            raise invalid(self.who, f"cond {kind} must be of floating type", str(part.dtype), remedy)


class ConditionEmbedding(nn.Module):
    """Labels and vectors to one embedding, with a learnt embedding for those that are absent.

    ``e = table[label + 1] + (W vector, or the null row where the vector is NaN)``; row 0 of the table is the null
    label's. A sum, so that either may be absent. A vector counts as absent only when *all* its entries are NaN:
    one missing entry is a fault in the data and makes the output NaN.

    Args:
        width: E.
        kinds: What the network takes; its fields do not come here.

    Raises:
        InvalidInputError: In ``forward`` on a CPU, for a label out of range (an accelerator stops with its own
            assertion, as reading the labels back would stall it).

    Source: classifier-free guidance, Ho & Salimans (2022), arXiv:2207.12598.
    """

    def __init__(self, width: int, kinds: ConditionKinds) -> None:
        super().__init__()
        n, length = kinds.n_classes, kinds.cond_dim
        self.kinds = kinds
        self.table = None if n is None else empty_table(n + 1, width)
        self.linear = None if length is None else nn.Linear(length, width, bias=False)
        self.null_vector = None if length is None else empty_table(1, width)

    def forward(self, parts: Parts, bias: Tensor) -> Tensor:
        """Add the embedding to a bias.

        A shared bias is added to the small table, which spares a pass over (B, E).

        Args:
            parts: From :meth:`ConditionKinds.split`.
            bias: (E,) or (B, E).

        Returns:
            (E,) if the bias is and the whole batch is null, else (B, E).
        """
        out = bias
        if self.table is not None:
            out = self._add_label(self.table.weight, parts.label, out)
        if self.linear is not None:
            assert self.null_vector is not None
            out = self._add_vector(self.linear.weight, self.null_vector.weight[0], parts.vector, out)
        return out

    def _add_label(self, table: Tensor, label: Tensor | None, bias: Tensor) -> Tensor:
        if label is None:
            return bias + table[0]
        rows = label.long() + 1
        try:
            if bias.ndim == 1:
                return functional.embedding(rows, table + bias)
            return bias + functional.embedding(rows, table)
        except IndexError as error:
            assert self.kinds.n_classes is not None
            rule = f"labels must lie in 0 ... {self.kinds.n_classes - 1}, or be -1 for none"
            got = f"{int(label.min())} ... {int(label.max())}"
            raise invalid(self.kinds.who, rule, got) from error

    def _add_vector(self, weight: Tensor, null: Tensor, vector: Tensor | None, bias: Tensor) -> Tensor:
        if vector is None:
            return bias + null
        absent = vector.isnan().all(1, keepdim=True)
        # The zeros keep NaN out of the product, and so out of the gradient of the weight.
        embedded = functional.linear(vector.masked_fill(absent, 0).to(weight.dtype), weight)
        return bias + torch.where(absent, null.to(embedded.dtype), embedded)


class FieldCondition(nn.Module):
    """Fields joined to the channels of the state, with a learnt constant where a field is absent.

    A field is absent when all its entries are NaN.

    Args:
        channels: Channels of the field, >= 1.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.null = empty_table(1, channels)

    def forward(self, x: Tensor, field: Tensor | None) -> Tensor:
        """Join: ``x (B, C, *spatial)``, field ``(B, Cf, *spatial)`` or None -> ``(B, C + Cf, *spatial)``."""
        null = self.null.weight[0].to(x.dtype).reshape(1, -1, *(1,) * (x.ndim - 2))
        if field is None:
            return torch.cat([x, null.expand(x.shape[0], -1, *x.shape[2:])], 1)
        absent = expand_like(field.flatten(1).isnan().all(1), field)
        return torch.cat([x, torch.where(absent, null, field.to(x.dtype))], 1)


def null_condition(cond: Condition) -> Condition:
    """The null condition of the same form: labels become -1, vectors and fields NaN; dicts and tuples by part."""
    return _map(cond, lambda part: torch.full_like(part, _null(part)))


def drop_condition(
    cond: Condition, probability: float, *, generator: torch.Generator | None = None
) -> Condition:
    """Make a random share of the rows null, as training for classifier-free guidance asks.

    A row loses all parts of its condition or none.

    Args:
        cond: A condition with one row per sample, or None.
        probability: Chance of a row to become null, in [0, 1].
        generator: Where the draws come from; on the device of ``cond``.

    Raises:
        InvalidInputError: If the probability is outside [0, 1].

    Source: Ho & Salimans (2022), arXiv:2207.12598, algorithm 1.
    """
    number("drop_condition", "probability", probability, at_least=0, at_most=1)
    first = _first(cond)
    if first is None:
        return cond
    dropped = torch.rand(first.shape[0], generator=generator, device=first.device) < probability
    return _map(cond, lambda part: part.masked_fill(expand_like(dropped, part), _null(part)))


def _map(cond: Condition, change: Callable[[Tensor], Tensor]) -> Condition:
    if cond is None:
        return None
    if isinstance(cond, dict):
        return {name: _map(part, change) for name, part in cond.items()}
    if isinstance(cond, tuple | list):
        return type(cond)(_map(part, change) for part in cond)
    return change(cond)


def _first(cond: Condition) -> Tensor | None:
    if isinstance(cond, dict):
        return _first(tuple(cond.values()))
    if isinstance(cond, tuple | list):
        return next((found for found in map(_first, cond) if found is not None), None)
    assert cond is None or isinstance(cond, Tensor)
    return cond


def _null(part: Tensor) -> float:
    if part.dtype in _INTEGERS and part.dtype.is_signed:
        return -1
    if part.is_floating_point():
        return math.nan
    remedy = "Use int64 for labels and a floating type for vectors and fields."
    raise invalid("null condition", "the type must have a null value", str(part.dtype), remedy)


def _shown(cond: Any) -> str:
    return f"a tensor {tuple(cond.shape)}" if isinstance(cond, Tensor) else type(cond).__name__
