"""Networks that come apart: into an encoder and a decoder, or into layers with a head after each.

Protocols that a network of one's own may follow; nothing need be inherited.
"""

from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from interpolants.foundations.types import Condition

# Tensors with one row per sample, in tuples and dicts: what an encoder hands to its decoder.
Features = Any


@runtime_checkable
class SplitNet(Protocol):
    """A network with ``net(x, t, cond) == net.decode(net.encode(x, t, cond), t, cond)``."""

    def encode(self, x: Tensor, t: Tensor, cond: Condition = None) -> Features:
        """Features of states ``(B, *D)`` at times 0-d or ``(B,)``: tensors of B rows, in tuples or dicts."""
        ...

    def decode(self, features: Features, t: Tensor, cond: Condition = None) -> Tensor:
        """The answer from features, at a time that may differ from the encoder's; it sees nothing else of x."""
        ...


@runtime_checkable
class RefreshingNet(SplitNet, Protocol):
    """A split network whose first encoder levels, the cheap ones that carry the state itself, can be computed anew.

    Attributes:
        encoder_levels: Number of levels of the encoder.
    """

    encoder_levels: int

    def refresh(
        self, features: Features, x: Tensor, t: Tensor, cond: Condition = None, *, levels: int = 1
    ) -> Features:
        """The features with those of the first ``levels`` levels, ``1 .. encoder_levels - 1``, from the state x."""
        ...


@runtime_checkable
class LayeredNet(Protocol):
    """A network of layers that all hand on the same kind of tokens, so that a head may end it after any of them.

    ``net(x, t, cond)`` is ``net.head(state)`` of the state after :meth:`stem` and all layers in turn.

    Attributes:
        n_layers: Number of layers.
        width: Channels of a token.
        per_token: Entries of the answer that belong to one token.
    """

    n_layers: int
    width: int
    per_token: int

    def stem(self, x: Tensor, t: Tensor, cond: Condition = None) -> Any:
        """The state before the first layer."""
        ...

    def layer(self, index: int, state: Any) -> Any:
        """The state after layer ``index``, counted from 0."""
        ...

    def tokens(self, state: Any) -> Tensor:
        """The tokens of a state, ``(B, L, width)``."""
        ...

    def head(self, state: Any) -> Tensor:
        """The network's own last layers: the answer ``(B, *D)``, or ``(B, K, *D)`` for K heads."""
        ...

    def arranged(self, values: Tensor) -> Tensor:
        """Values ``(B, L, per_token)`` as an answer."""
        ...

    def rows(self, state: Any, index: Tensor) -> Any:
        """The state of some rows."""
        ...


def check_levels(levels: int, most: int) -> None:
    """Our own invariant of ``refresh``: callers refuse other numbers with their own words."""
    assert 1 <= levels < most, (levels, most)


def module_in_training(net: Any) -> bool:
    """Whether dropout or batch statistics may act: whether any module of a network is in training mode."""
    return isinstance(net, nn.Module) and any(module.training for module in net.modules())
