"""Fitted bridge on another path than that of its training."""

from typing import Any, TypeVar

from interpolants.fields.learned import on_path
from interpolants.fields.matched_net import same_path
from interpolants.methods.bridge.fitted import FittedBridge
from interpolants.methods.parts.choices import choose_path

Kind = TypeVar("Kind", bound=FittedBridge)


def rescheduled(bridge: Kind, path: Any) -> Kind:
    """Return a bridge with the network of a fitted bridge, whose fields are those of another path.

    The noise level chosen for the path of the training is not kept.

    Args:
        bridge: A fitted bridge.
        path: As in ``Bridge.on``.

    Raises:
        InvalidInputError: If the bridge is not fitted, or the path cannot be reached.
    """
    source = bridge.fields
    target = choose_path("Bridge.on", path)
    assert source.path is not None
    if same_path(target, source.path):
        return bridge
    fields = on_path(source, target)
    # Settings that hold for one path only are those of training, which is over.
    changes = {
        "path": target,
        "heads": fields.known,
        "precondition": "auto",
        "times": "auto",
        "penalties": (),
    }
    learnt = bridge.learnt()
    state = {**bridge.state, "path": target, "net": fields.networks[0], "eps_choice": None}
    return type(bridge)(**{**bridge.params(), **changes}).take_over({**learnt, "state": state})
