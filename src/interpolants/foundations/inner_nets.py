"""Networks inside wrappers that scale inputs and outputs: found, and replaced in copies."""

from collections.abc import Callable

from torch import nn


class WrapsNet(nn.Module):
    """A module that hands states, times and conditions to ``net``, scaled, and scales its answer."""

    net: nn.Module


def inner_net(net: nn.Module) -> nn.Module:
    """Return the network inside all wrappers; the network itself if there are none."""
    return inner_net(net.net) if isinstance(net, WrapsNet) else net


def with_inner_net(net: nn.Module, change: Callable[[nn.Module], nn.Module]) -> nn.Module:
    """Return the same wrappers around another network; weights are shared, and the given module is unchanged.

    Args:
        net: A network, perhaps in wrappers.
        change: From the network inside to what takes its place.
    """
    if not isinstance(net, WrapsNet):
        return change(net)
    found: WrapsNet = object.__new__(
        type(net)
    )  # not copy.copy, which would ask for the constructor's arguments
    found.__dict__ = {**net.__dict__, "_modules": dict(net.__dict__["_modules"])}
    found.net = with_inner_net(net.net, change)
    return found
