"""Networks by name, and back from their settings."""

from collections.abc import Sequence
from typing import Any

from interpolants.foundations.registry import build
from interpolants.nets.net import Net


def build_net(name: str, shape: int | Sequence[int], **settings: Any) -> Net:
    """Make a network by the id of its card; ``build_net(**net.settings)`` makes one like ``net``.

    Args:
        name: ``"mlp"``, ``"unet"``, ...
        shape: Event shape of the state.
        settings: The network's own arguments.

    Raises:
        InvalidInputError: If the name or a setting is unknown (the nearest is named), or a setting is refused.
    """
    net = build("net", name, shape=shape, **settings)
    assert isinstance(net, Net)
    return net
