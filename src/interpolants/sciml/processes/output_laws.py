"""What a recurrent network says of the values of a step: Gaussian, bounded, of symbols, or over bins.

Letters: C columns, K numbers that the network gives for a step. Arrays have any leading axes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from interpolants.foundations.asked import invalid
from interpolants.framework.series import Series

Output = Literal["linear", "tanh", "bernoulli", "bins"]
_LEAST_STD = 1e-12


@dataclass(frozen=True)
class OutputLaw:
    """Values of a step given K numbers.

    Attributes:
        kind: ``"linear"``: Gaussian, in units of the columns' deviation; ``"tanh"``: Gaussian within limits;
            ``"bernoulli"``: symbols 0 and 1, independent over columns; ``"bins"``: one softmax over bins a column.
        shift: Of the units of values, ``(C,)``.
        scale: Likewise; a value is ``shift + scale * y``.
        noise: Standard deviation of y, of Gaussian kinds.
        bins: Bins between -1 and 1.
    """

    kind: Output
    shift: Tensor
    scale: Tensor
    noise: float
    bins: int

    @classmethod
    def of(
        cls, many: Sequence[Series], kind: Output, limits: Sequence[float], noise: float, bins: int
    ) -> "OutputLaw":
        """With the units of series.

        Raises:
            InvalidInputError: If values lie outside the range of the output, or a column of a linear one is constant.
        """
        columns = many[0].values.shape[1]
        one = torch.ones(columns, dtype=torch.float64)
        if kind == "linear":
            seen = [torch.cat([s.values[s.seen[:, c], c] for s in many]) for c in range(columns)]
            if any(not len(x) for x in seen):
                column = next(c for c in range(columns) if not len(seen[c]))
                raise invalid("every column must be seen", f"no value of column {column}", "Leave it out.")
            shift, scale = (
                torch.stack([x.mean() for x in seen]),
                torch.stack([x.std(correction=0) for x in seen]),
            )
            flat = ~(scale > _LEAST_STD * shift.abs())
            if bool(flat.any()):
                column = int(flat.nonzero()[0])
                raise invalid("every column must vary", f"column {column} is constant", "Leave it out.")
        elif kind == "bernoulli":
            shift, scale = 0 * one, one
        else:
            low, high = limits
            shift, scale = one * (low + high) / 2, one * (high - low) / 2
        law = cls(kind, shift, scale, noise, bins)
        for series in many:
            law.check(series)
        return law

    def parts(self) -> dict[str, Any]:
        """As the state holds it."""
        return dict(vars(self))

    @property
    def width(self) -> int:
        """K."""
        return len(self.shift) * (self.bins if self.kind == "bins" else 1)

    def check(self, series: Series) -> None:
        """Refuse another number of columns, and values that the output cannot take.

        Raises:
            InvalidInputError: If there are some.
        """
        if series.values.shape[1] != len(self.shift):
            raise invalid(f"a series must have {len(self.shift)} columns", series.values.shape[1])
        if self.kind == "linear":
            return
        least = 0.0 if self.kind == "bernoulli" else -1.0
        y = ((series.values - self.shift) / self.scale)[series.seen]
        wrong = (y < least - 1e-9) | (y > 1 + 1e-9)
        if bool(wrong.any()):
            low, high = (float((self.shift + self.scale * end)[0]) for end in (least, 1.0))
            given = float(series.values[series.seen][wrong][0])
            remedy = "Bring values there" + (
                "." if self.kind == "bernoulli" else ", or set limits=(low, high)."
            )
            rule = f"values must lie in [{low:g}, {high:g}] for output={self.kind!r}"
            raise invalid(rule, given, remedy)

    def encoded(self, values: Tensor) -> Tensor:
        """Values in the units of the network."""
        return (values - self.shift) / self.scale

    def mean(self, out: Tensor) -> Tensor:
        """Expected values ``(..., C)`` in data units, of numbers ``(..., K)``."""
        return self.shift + self.scale * self._mean(out)

    def _mean(self, out: Tensor) -> Tensor:
        if self.kind == "linear":
            return out
        if self.kind == "tanh":
            return out.tanh()
        if self.kind == "bernoulli":
            return out.sigmoid()
        expected: Tensor = (self._chances(out).exp() * self._centres(out)).sum(-1)
        return expected

    def drawn(self, out: Tensor, noise: Tensor) -> Tensor:
        """Draws ``(..., C)`` in data units, from standard normal numbers of that shape."""
        if self.kind in ("linear", "tanh"):
            return self.shift + self.scale * (self._mean(out) + self.noise * noise)
        level = torch.special.ndtr(noise)
        if self.kind == "bernoulli":
            found: Tensor = (level < out.sigmoid()).to(out)
            return found
        below = self._chances(out).exp().cumsum(-1)
        pick = (level[..., None] > below).sum(-1).clamp_max(self.bins - 1)
        return self.shift + self.scale * self._centres(out)[pick]

    def log_prob(self, out: Tensor, y: Tensor) -> Tensor:
        """Log probabilities of encoded values, column by column, ``(..., C)`` nats.

        Densities are in units of the network. Over bins a value counts to its two neighbours, as it lies between them.
        """
        if self.kind in ("linear", "tanh"):
            apart = (y - self._mean(out)) / self.noise
            return -apart.square() / 2 - math.log(self.noise) - 0.5 * math.log(2 * math.pi)
        if self.kind == "bernoulli":
            loss = torch.nn.functional.binary_cross_entropy_with_logits
            found: Tensor = -loss(out, y.expand_as(out), reduction="none")
            return found
        gap = 2 / (self.bins - 1)
        weight = (1 - (y[..., None] - self._centres(out)).abs() / gap).clamp_min(0)
        return (weight * self._chances(out)).sum(-1)

    @property
    def log_volume(self) -> Tensor:
        """Log of a data unit over one of the network, ``(C,)``; what densities lose in data units."""
        return self.scale.log() if self.kind in ("linear", "tanh") else torch.zeros_like(self.scale)

    def _centres(self, like: Tensor) -> Tensor:
        return torch.linspace(-1, 1, self.bins, dtype=like.dtype)

    def _chances(self, out: Tensor) -> Tensor:
        """Log probabilities ``(..., C, bins)``."""
        return out.reshape(*out.shape[:-1], -1, self.bins).log_softmax(-1)
