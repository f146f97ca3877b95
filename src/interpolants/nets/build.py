"""Networks by name, and back from their settings."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from interpolants.foundations.checks import one_of
from interpolants.foundations.errors import invalid
from interpolants.foundations.registry import build, names
from interpolants.foundations.tell import SettingWarning, tell
from interpolants.nets.net import Net

# Pixels up to which the U-Net's own defaults are taken.
_SMALL = 100
# Default above, as measured: 2,000 steps on 1,000 grey pictures of 16 x 16 in 260 s on one core.
_NARROW = {"channels": 8, "multipliers": (1, 2, 4, 4), "blocks": 1}
# What completes a size that is set in part: channels at that many pixels with one level more, and the fewest.
_WIDTH, _NARROWEST = 52, 16


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


def choose_net(
    net: Any,
    shape: tuple[int, ...],
    heads: int,
    cond: Tensor | None = None,
    seed: int = 0,
    *,
    who: str = "Bridge",
) -> nn.Module:
    """An MLP for vectors, a U-Net for images, or what was asked for, with the right heads and condition.

    Args:
        net: ``"auto"``, the id of a card, a table ``{"kind": id, **settings}``, or an ``nn.Module``, returned as it is.
        shape: Event shape of the state.
        heads: Number of fields; the network returns ``(B, heads, *D)`` for more than one.
        cond: Conditions to be understood: labels ``(N,)``, vectors ``(N, C)`` or fields ``(N, C, *D)``.
        seed: Seed of the initial weights.
        who: Name of the caller, used in error messages.

    Raises:
        InvalidInputError: If the name or a setting is unknown.
    """
    return named_net(net, shape, who=who, heads=heads, seed=seed, **_condition(cond))


def library_net(who: str, net: Any) -> Any:
    """A network by its id or table, and no network itself: for methods whose rows decide what it must take.

    Raises:
        InvalidInputError: If it is an ``nn.Module``.
    """
    if isinstance(net, nn.Module):
        remedy = "Pass a name or a table; the shapes follow from the training rows."
        raise invalid(who, "net must be a network of this library", type(net).__name__, remedy)
    return net


def named_net(net: Any, shape: tuple[int, ...], *, who: str, **given: Any) -> nn.Module:
    """A network from its id, its table or itself, with the settings that its user does not choose.

    Args:
        net: As in :func:`choose_net`.
        shape: Event shape of the state.
        who: Name of the caller, used in error messages.
        given: Settings such as ``heads`` and ``seed``; those of a table come first.

    Raises:
        InvalidInputError: If the name or a setting is unknown.
    """
    if isinstance(net, nn.Module):
        return net
    if not isinstance(net, str | Mapping):
        raise invalid(who, "net must be a name, a table with its kind, or a network", net)
    settings = {"kind": net} if isinstance(net, str) else dict(net)
    if "shape" in settings:
        raise invalid(
            who, "net must not set shape, which follows from the data", repr(settings["shape"]), "Omit it."
        )
    if settings.get("kind", "auto") == "auto":
        image = len(shape) == 3 and min(shape[1:]) >= 8
        settings = {
            **(unet_size(shape, settings) if image else {}),
            **settings,
            "kind": "unet" if image else "mlp",
        }
        _warn_of_no_channels(shape, who)
    kind = settings.pop("kind")
    one_of(who, "net", kind, names("net"))
    return build_net(kind, shape, **{**given, **settings})


def unet_size(shape: Sequence[int], settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Size of the default U-Net, such that 2,000 steps of 256 pictures take minutes on one core and not hours.

    Up to 10 x 10 pixels those are the network's defaults. Above, 8 channels and four levels of one block: depth costs
    little, for each level has a quarter of the pixels of the one before. The time of a step grows with the pixels.
    Measured on 1,000 pictures of Fashion-MNIST at 16 x 16: 260 s on one core, and 84 % of the samples of a class were
    recognised as that class (real pictures: 86 %), against 76 % for 300 steps with 16 channels and two blocks.

    Args:
        shape: (C, H, W).
        settings: Settings of the user. If the size is among them, the others complete it to about 0.15 GFLOP per
            picture of up to 32 x 32 pixels.
    """
    pixels = shape[1] * shape[2]
    if pixels <= _SMALL:
        return {}
    if not (settings or {}).keys() & _NARROW.keys():
        return dict(_NARROW)
    channels = 8 * round(_WIDTH / 8 * (_SMALL / pixels) ** 0.5)
    return {"channels": max(channels, _NARROWEST), "multipliers": (1, 2, 2)}


def _warn_of_no_channels(shape: tuple[int, ...], who: str) -> None:
    if len(shape) == 2 and min(shape) >= 8:
        words = (
            f"{who}: samples of shape {shape} have no axis of channels, so that an MLP takes them as vectors"
        )
        remedy = "If they are images, pass x[:, None] for a U-Net; if not, say net='mlp'"
        tell(SettingWarning, f"{words}. {remedy}.")


def _condition(cond: Tensor | None) -> dict[str, int]:
    if cond is None:
        return {}
    if not cond.is_floating_point():
        return {"n_classes": int(cond.max()) + 1}
    return {"cond_channels": cond.shape[1]} if cond.ndim > 2 else {"cond_dim": cond.shape[1]}
