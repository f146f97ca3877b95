"""Adam, and its state as named tensors."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from interpolants.foundations.errors import invalid
from interpolants.training.settings import TrainSettings

_SEPARATOR = "::"


def trainable(modules: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that are trained, by name; a shared parameter counts once."""
    found = {name: p for name, p in modules.named_parameters() if p.requires_grad}
    if not found:
        raise invalid("fit", "modules must have a parameter with requires_grad", "none")
    if len(devices := {p.device for p in found.values()}) > 1:
        raise invalid("fit", "all parameters must live on one device", sorted(map(str, devices)))
    return found


def make_optimizer(parameters: Mapping[str, nn.Parameter], settings: TrainSettings) -> torch.optim.Adam:
    """Adam(W) in its fused form, which costs a fifth of the default one; for complex weights, foreach."""
    real = all(p.is_floating_point() for p in parameters.values())
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return kind(
        list(parameters.values()),
        lr=settings.lr,
        betas=settings.betas,
        weight_decay=settings.weight_decay,
        fused=True if real else None,
        foreach=None if real else True,
    )


def optimizer_tensors(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]
) -> dict[str, Tensor]:
    """State flattened to ``<parameter>::<quantity>``; a parameter that never had a gradient has none."""
    return {
        f"{name}{_SEPARATOR}{key}": value
        for name, p in parameters.items()
        for key, value in optimizer.state.get(p, {}).items()
    }


def load_optimizer(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter], stored: Mapping[str, Tensor]
) -> None:
    """Put flattened state back, on the device of its parameter."""
    for full, value in stored.items():
        name, _, key = full.rpartition(_SEPARATOR)
        if name not in parameters:
            raise invalid("fit", "the checkpoint's optimizer must belong to this model", repr(full)[:120])
        p = parameters[name]
        optimizer.state[p][key] = value.to(p.device, copy=True)
