"""Shared space of modalities: encoders of images, vectors and labels into blocks of one state, and back.

``e(X) = (w_1 u_1, ..., w_n u_n)``, where ``u_i`` is modality i in units of variance 1 and the blocks stand side
by side: as channels where all images have one grid, as entries of a vector otherwise. A sum of encoders in one block
would not be one-to-one. The encoders are linear and learn nothing, so that they cannot shrink to a constant.

Letters: B rows, n modalities, k numbers of a vector or columns of a label, G the shape of the grid.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, cast

import torch
from torch import Tensor

from interpolants.apps.multimodal.modality_roles import is_there
from interpolants.foundations.errors import invalid
from interpolants.foundations.records import record
from interpolants.framework.frames import (
    Standard,
    Whitened,
    constant_columns,
    constants_of,
    with_constants,
)

# Softmax sees coordinates of labels times this: a certain label then has a probability of 1 to rounding.
_SHARP = 4.0
# Labels and vectors beside images have a plane for each number.
_MOST_PLANES = 64


@record("modality")
@dataclass(frozen=True, kw_only=True, eq=False)
class Modality:
    """One modality and its encoder.

    Attributes:
        shape: Event shape; of labels ``(k,)``, the number of labels.
        is_label: Whether it is a label.
        frame: Units of variance 1, for perceptrons uncorrelated ones; of labels those of the columns of zeros and ones.
        weight: w > 0, the size of its block.
        fixed: Values of columns of a vector that never varied, NaN for others; None without one.
    """

    shape: tuple[int, ...]
    is_label: bool
    frame: Standard | Whitened
    weight: float = 1.0
    fixed: Tensor | None = None

    @classmethod
    def fit(cls, name: str, value: Tensor, weight: float, who: str, *, whiten: bool = False) -> Self:
        """From training rows, those that are missing left out.

        Args:
            name: Its name, for messages.
            value: Rows.
            weight: w.
            who: Public name for errors.
            whiten: Whether units are uncorrelated, so that a network that says nothing is a Gaussian fit.

        Raises:
            InvalidInputError: If it does not vary.
        """
        rows = value[is_there(value)]
        if not len(rows):
            raise invalid(who, f"{name} must be there in some rows", "it is missing in all")
        is_label = not rows.is_floating_point()
        flat = rows[:, None].double() if is_label else rows.flatten(1)
        if bool(constant_columns(flat).all()):
            raise invalid(
                who, f"{name} must vary", "all rows are the same", "Leave it out: nothing is to be learnt."
            )
        if not is_label:
            frame = (Whitened() if whiten else Standard()).fit(rows)
            fixed = constants_of(rows)
            return cls(shape=tuple(rows.shape[1:]), is_label=False, frame=frame, weight=weight, fixed=fixed)
        hot = _hot(rows, int(rows.max()) + 1)
        of_columns = Standard(shift=hot.mean(0), scale=hot.var(0).mean().sqrt())
        return cls(shape=(hot.shape[1],), is_label=True, frame=of_columns, weight=weight)

    def standardised(self, value: Tensor) -> Tensor:
        """Rows in deviations from the mean of the fit, column by column, float64; NaN where they are missing."""
        frame = self.frame.units if isinstance(self.frame, Whitened) else self.frame
        return frame.encode(value.double())

    @property
    def in_fit(self) -> Tensor:
        """Mask of the labels that rows of the fit had, ``(k,)`` bool: False for 0 of the labels 1, 2, 3."""
        means = torch.as_tensor(cast(Standard, self.frame).shift)
        return means > 0 if means.ndim else torch.ones(self.shape, dtype=torch.bool)

    @property
    def size(self) -> int:
        """Numbers of an event."""
        return math.prod(self.shape)

    def units(self, value: Tensor) -> Tensor:
        """``u (B, *shape)`` float32; zero where a row is missing."""
        there = is_there(value)
        u = self.frame.encode(_hot(value.clamp_min(0), self.size) if self.is_label else value).float()
        return torch.where(there.reshape(-1, *(1,) * (u.ndim - 1)), u, 0.0)

    def of_probabilities(self, p: Tensor) -> Tensor:
        """Mean u of a label with probabilities ``(B, k)``."""
        return self.frame.encode(p)

    def value(self, u: Tensor) -> Tensor:
        """Data units, or the likeliest label ``(B,)``."""
        mean = self.mean(u)
        return mean.masked_fill(~self.in_fit, -torch.inf).argmax(1) if self.is_label else mean

    def mean(self, u: Tensor) -> Tensor:
        """Data units, float64, or the columns of zeros and ones of a label; columns that never varied as they were."""
        return with_constants(self.frame.decode(u.double()), self.fixed)

    def logits(self, u: Tensor) -> Tensor:
        """Log probabilities of labels up to a constant, from coordinates ``(B, k)``; -inf if not in the fit."""
        return (_SHARP * u).masked_fill(~self.in_fit.to(u.device), -torch.inf)


def _hot(codes: Tensor, k: int) -> Tensor:
    return torch.nn.functional.one_hot(codes, k).double()


@record("shared_space")
@dataclass(frozen=True, kw_only=True, eq=False)
class SharedSpace:
    """The blocks of some modalities in one state.

    Attributes:
        parts: Modalities by name, in the order of their blocks.
        grid: ``(H, W)`` where blocks are channels of images; ``()`` where they are entries of a vector.
        shape: Event shape of the state.
    """

    parts: Mapping[str, Modality]
    grid: tuple[int, ...] = ()
    shape: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        widths = [self._width(part) for part in self.parts.values()]
        alone = next(iter(self.parts.values())) if len(self.parts) == 1 else None
        own = alone is not None and not self.grid
        shape = alone.shape if own and alone is not None else (sum(widths), *self.grid)
        object.__setattr__(self, "shape", tuple(shape))

    @classmethod
    def of(cls, parts: Mapping[str, Modality], *, as_images: bool, who: str) -> Self:
        """The space of modalities.

        Args:
            parts: The modalities.
            as_images: Keep the grid where all images have one; a single modality keeps its shape in any case.
            who: Public name for errors.

        Raises:
            InvalidInputError: If a label or vector is too long to be planes beside images.
        """
        images = {part.shape[1:] for part in parts.values() if not part.is_label and len(part.shape) == 3}
        if not as_images or len(images) != 1 or len(parts) == 1:
            return cls(parts=parts)
        for name, part in parts.items():
            if len(part.shape) != 3 and part.size > _MOST_PLANES:
                rule = f"beside images {name} must have at most {_MOST_PLANES} entries or labels"
                raise invalid(who, rule, part.size, "Take net='mlp', for which all is one vector.")
        return cls(parts=parts, grid=next(iter(images)))

    def _width(self, part: Modality) -> int:
        """Channels, or entries, of a block."""
        is_image = len(part.shape) == 3 and not part.is_label
        return part.shape[0] if self.grid and is_image else part.size

    def _slices(self) -> dict[str, slice]:
        places, first = {}, 0
        for name, part in self.parts.items():
            places[name] = slice(first, first + self._width(part))
            first += self._width(part)
        return places

    def units(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """``u`` by modality, of those that are given."""
        return {name: part.units(values[name]) for name, part in self.parts.items() if name in values}

    def block(self, name: str, u: Tensor) -> Tensor:
        """A block, ``(B, width, *G)``, of ``u (B, *shape)``: a number is a plane."""
        part, wide = self.parts[name], u * self.parts[name].weight
        if len(self.parts) == 1 and not self.grid:
            return wide
        if not self.grid:
            return wide.flatten(1)
        if len(part.shape) == 3 and not part.is_label:
            return wide
        return wide.flatten(1)[:, :, None, None].expand(-1, -1, *self.grid)

    def state(self, units: Mapping[str, Tensor]) -> Tensor:
        """``e(X)``, ``(B, *D)``."""
        return torch.cat([self.block(name, units[name]) for name in self.parts], 1)

    def blocks(self, z: Tensor) -> dict[str, Tensor]:
        """The blocks of a state, each ``(B, width, *G)``."""
        if len(self.parts) == 1:
            return dict.fromkeys(self.parts, z)
        return {name: z[:, place] for name, place in self._slices().items()}

    def of_block(self, name: str, block: Tensor) -> Tensor:
        """``u (B, *shape)`` of a block: of planes the mean."""
        part = self.parts[name]
        planes = bool(self.grid) and (part.is_label or len(part.shape) != 3)
        flat = block.flatten(2).mean(2) if planes else block
        return flat.reshape(len(block), *part.shape) / part.weight

    def expected(self, z: Tensor) -> Tensor:
        """``e`` of the means behind estimates of blocks: a label's is that of its probabilities."""
        found = []
        for name, block in self.blocks(z).items():
            part = self.parts[name]
            if part.is_label:
                p = part.logits(self.of_block(name, block)).softmax(1)
                block = self.block(name, part.of_probabilities(p))
            found.append(block)
        return found[0] if len(found) == 1 else torch.cat(found, 1)

    def rms(self, z: Tensor) -> float:
        """Root mean square of the blocks of images and vectors, or of labels if there are no others."""
        blocks = self.blocks(z)
        measured = [block for name, block in blocks.items() if not self.parts[name].is_label]
        chosen = measured if len(self.parts) > 1 and measured else [z]
        return float(torch.cat([x.flatten() for x in chosen]).double().square().mean().sqrt())


def tokens(space: SharedSpace, units: Mapping[str, Tensor], known: Tensor, absent: Tensor) -> Tensor:
    """What heads are told: the blocks of known modalities, and a flag for each: 1 known, 0 to be drawn, -1 missing.

    Args:
        space: The space of all modalities.
        units: ``u`` by modality.
        known: ``(B, n)`` bool.
        absent: ``(B, n)`` bool.

    Returns:
        ``(B, T)``, or ``(B, T, *G)``.
    """
    found = []
    for i, (name, part) in enumerate(space.parts.items()):
        block = space.block(name, units[name])
        block = block.flatten(1) if not space.grid else block
        found.append(torch.where(known[:, i].reshape(-1, *(1,) * (block.ndim - 1)), block / part.weight, 0.0))
    flags = known.float() - absent.float()
    flags = flags[:, :, None, None].expand(-1, -1, *space.grid) if space.grid else flags
    return torch.cat([*found, flags.to(found[0])], 1)


def subsets(n: int, targets: Sequence[int]) -> Tensor:
    """Subsets of n modalities that leave a target to be drawn and are not empty, ``(S, n)`` bool."""
    every = [[bool(code >> i & 1) for i in range(n)] for code in range(1, 2**n)]
    return torch.tensor([row for row in every if not all(row[i] for i in targets)]).reshape(-1, n)


def as_images(net: Any) -> bool:
    """Whether a network that was asked for takes images."""
    kind = net.get("kind", "auto") if isinstance(net, Mapping) else net
    return bool(kind != "mlp")
