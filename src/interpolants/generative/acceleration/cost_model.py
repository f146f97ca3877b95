"""Seconds of encoder and decoder, and what propagation saves by them."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.inner_nets import inner_net
from interpolants.foundations.types import Condition
from interpolants.generative.acceleration.key_steps import AUTO, Keys, key_steps
from interpolants.nets.split import SplitNet


@dataclass(frozen=True)
class PropagationCost:
    """``|K| c_E + n c_D`` against ``n (c_E + c_D)``; print it.

    Attributes:
        encoder: c_E, seconds of one call.
        decoder: c_D, likewise.
        keys: Number of keys, ``|K|``.
        n_steps: n.
    """

    encoder: float
    decoder: float
    keys: int
    n_steps: int

    @property
    def share(self) -> float:
        """The encoder's share of one evaluation."""
        return self.encoder / (self.encoder + self.decoder)

    @property
    def ratio(self) -> float:
        """Expected time over that of a plain run."""
        return 1 - self.share * (1 - self.keys / self.n_steps)

    def __str__(self) -> str:
        return (
            f"encoder {1e3 * self.encoder:.2f} ms, decoder {1e3 * self.decoder:.2f} ms (encoder {self.share:.0%}); "
            f"{self.keys} of {self.n_steps} steps are keys: {self.ratio:.0%} of the time of a plain run"
        )


def propagation_cost(
    net: nn.Module,
    x: Tensor,
    *,
    keys: Keys = 5,
    n_steps: int = 50,
    cond: Condition = None,
    repeats: int = 9,
) -> PropagationCost:
    """Measure encoder and decoder of a network in turn, on states of the size that will be run.

    Args:
        net: A split network, perhaps in wrappers.
        x: States ``(B, *D)``.
        keys: As in ``EncoderPropagation``, but for ``"auto"``.
        n_steps: Steps of the run.
        cond: Condition of the states.
        repeats: The fastest of so many calls counts: what else the machine does only slows.

    Raises:
        InvalidInputError: If the network is not split.
    """
    whole("propagation_cost", "repeats", repeats, at_least=1)
    if keys == AUTO:
        raise invalid(
            "propagation_cost",
            "keys must be an explicit spacing or list",
            repr(AUTO),
            "Pass the spacing as an integer.",
        )
    split, t = inner_net(net), torch.tensor(0.5, dtype=torch.float32, device=x.device)
    if not isinstance(split, SplitNet):
        raise invalid("propagation_cost", "net must have encode and decode", type(split).__name__)
    with torch.no_grad():
        features = split.encode(x, t, cond)
        calls = (lambda: split.encode(x, t, cond), lambda: split.decode(features, t, cond))
        for call in calls:
            call()
        seconds = [[_seconds(call, x) for call in calls] for _ in range(repeats)]
    encoder, decoder = (min(column) for column in zip(*seconds, strict=True))
    return PropagationCost(encoder, decoder, len(key_steps(keys, n_steps)), n_steps)


def _seconds(call: Callable[[], object], x: Tensor) -> float:
    begun = time.perf_counter()
    call()
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    return time.perf_counter() - begun
