"""Base of networks: contract, argument checks, and weights drawn from an explicit seed."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from interpolants.foundations import randomness
from interpolants.foundations.checks import is_whole, whole
from interpolants.foundations.devices import default_device
from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import time_dtype
from interpolants.foundations.row_times import TakesOneTime
from interpolants.foundations.types import Condition


class Net(TakesOneTime, nn.Module, ABC):
    """A network ``f(x, t, cond=None)`` on states of a fixed shape; abstract.

    Args:
        shape: Event shape D, without the batch.
        heads: K >= 1, the number of outputs of the state's shape.

    Attributes:
        shape: D, a tuple.
        heads: K.
        settings: A dict that JSON can hold, from which ``build_net(**settings)`` makes the same architecture.

    Raises:
        InvalidInputError: For a setting outside its range.
    """

    settings: dict[str, Any]

    def __init__(self, shape: int | Sequence[int], heads: int) -> None:
        super().__init__()
        self.shape = event_shape(shape, type(self).__name__)
        self.heads = whole(type(self).__name__, "heads", heads, at_least=1)

    @abstractmethod
    def forward(self, x: Tensor, t: Tensor | float, cond: Condition = None) -> Tensor:
        """Evaluate.

        Args:
            x: States, (B, *D), of the type and on the device of the weights; token ids (B, L) for networks of tokens.
            t: Times in [0, 1], 0-d or (B,).
            cond: The condition, see :class:`~interpolants.nets.embeddings.ConditionKinds`.

        Returns:
            (B, *D) for one head, (B, K, *D) for K > 1; type as ``x``. Networks of tokens return logits (B, L, V).

        Raises:
            InvalidInputError: If a shape or type does not fit.
        """

    def checked_time(self, x: Tensor, t: Tensor | float, weight: Tensor) -> Tensor:
        """The time as a tensor, after the checks that a forward makes; only shapes and types are read."""
        who = type(self).__name__
        if x.shape[1:] != self.shape or x.ndim == len(self.shape):
            shown = ", ".join(["B", *map(str, self.shape)])
            raise invalid(
                who, f"x must have shape ({shown})", tuple(x.shape), "A single state needs x[None]."
            )
        if x.dtype != weight.dtype and not _mixed(x):
            remedy = "Convert one: x.to(dtype) or net.to(dtype)."
            raise invalid(who, f"x must have the type of the weights, {weight.dtype}", str(x.dtype), remedy)
        if not isinstance(t, Tensor):
            return torch.as_tensor(t, dtype=time_dtype(x), device=x.device)
        if t.ndim and t.shape != x.shape[:1]:
            raise invalid(who, f"t must be 0-d or have shape ({x.shape[0]},)", tuple(t.shape))
        return t


def event_shape(shape: int | Sequence[int], who: str) -> tuple[int, ...]:
    """An event shape as a tuple; a number is the length of a vector."""
    dims: Any = shape if isinstance(shape, Sequence) else (shape,)
    if not all(is_whole(n) and n >= 1 for n in dims):
        raise invalid(who, "shape must be whole numbers >= 1, without the batch", shape)
    return tuple(int(n) for n in dims)


_LEFT_EMPTY: list[bool] = []


@contextmanager
def left_empty() -> Iterator[None]:
    """Leave weights of networks made in the block on the meta device: `materialise` gives memory to buffers only."""
    _LEFT_EMPTY.append(True)
    try:
        yield
    finally:
        _LEFT_EMPTY.pop()


def give_memory(module: nn.Module) -> None:
    """Give memory without values to a module that was built on the meta device.

    ``to_empty`` does so too, but the strides of a meta tensor are found by symbols, and to import these takes longer
    than a small fit.
    """
    device, is_left = default_device(), nn.Parameter if _LEFT_EMPTY else ()
    module._apply(
        lambda x: x if isinstance(x, is_left) else torch.empty(x.shape, dtype=x.dtype, device=device)
    )  # type: ignore[no-untyped-call]


def empty_table(rows: int, width: int) -> nn.Embedding:
    """An embedding whose weights :func:`materialise` draws.

    Its own draws, useless on the meta device, would import PyTorch's compiler there.
    """
    return nn.Embedding(rows, width, _weight=torch.empty(rows, width))


@torch.no_grad()
def materialise(
    net: nn.Module, seed: int, *, gains: Mapping[nn.Module, float | Tensor] | None = None
) -> None:
    """Give memory and initial weights to a network that was built on the meta device.

    Built there it costs nothing and leaves the global generator alone. The draws are made on the CPU in float32 in the
    order of ``net.modules()``, so that a seed means the same weights on every device and in every type.
    Linear and convolution weights are uniform with variance 1 / fan_in, biases zero, embeddings normal.

    Args:
        net: The network; only linear, convolution, embedding and norm layers may hold weights, and layers that draw
            their own.
        seed: Non-negative integer.
        gains: Factors on the weights of some layers, 0 for a zero start; a tensor (fan_in,) has one per input.
    """
    whole(type(net).__name__, "seed", seed)
    give_memory(net)
    generator = randomness.generator(seed, "weights")
    factors = gains or {}
    for module in _to_draw(net):
        if isinstance(module, OwnWeights):
            module.draw_weights(generator)
            continue
        if isinstance(module, nn.GroupNorm | nn.LayerNorm):
            module.weight.fill_(1)
            module.bias.fill_(0)
            continue
        assert isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Embedding), type(module)
        draw = torch.empty(module.weight.shape, dtype=torch.float32, device="cpu")
        if isinstance(module, nn.Embedding):
            draw.normal_(0, EMBEDDING_SCALE, generator=generator)
        else:
            bound = math.sqrt(3 / draw[0].numel())
            draw.uniform_(-bound, bound, generator=generator)
            if module.bias is not None:
                module.bias.fill_(0)
        module.weight.copy_(draw.mul_(factors.get(module, 1.0)))


def _to_draw(net: nn.Module) -> list[nn.Module]:
    """Modules that hold weights themselves; none in a block of :func:`left_empty`."""
    return [] if _LEFT_EMPTY else [m for m in net.modules() if dict(m.named_parameters(recurse=False))]


class OwnWeights(nn.Module, ABC):
    """A layer that draws its own initial weights; abstract."""

    @abstractmethod
    def draw_weights(self, generator: torch.Generator) -> None:
        """Fill all weights of this very module, which have memory but no values, from a generator on the CPU."""


EMBEDDING_SCALE = 0.5  # beside pre-activations of variance one


def _mixed(x: Tensor) -> bool:
    """Whether autocast chooses the types."""
    return torch.is_autocast_enabled(x.device.type)
