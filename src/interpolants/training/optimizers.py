"""Optimizers with groups of parameters, and their state as named tensors."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from interpolants.foundations.errors import invalid, nearest
from interpolants.training.fused_adam import HAS_KERNELS, AdamGroup, FusedAdam
from interpolants.training.row_optimizer import RowOptimizer
from interpolants.training.settings import GroupSettings, TrainSettings
from interpolants.training.slices import like

GroupOf = Callable[[str, nn.Parameter], str | None]

_SEPARATOR = "::"
_REST = ""


def trainable(modules: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that are trained, by name; a shared parameter counts once."""
    found = {name: p for name, p in modules.named_parameters() if p.requires_grad}
    if not found:
        raise invalid("fit", "modules must have a parameter with requires_grad", "none")
    if len(devices := {p.device for p in found.values()}) > 1:
        raise invalid("fit", "all parameters must live on one device", sorted(map(str, devices)))
    return found


class Optimizer:
    """The optimizer of a run: `RowOptimizer` for per-row parameters, and for all others a kernel of PyTorch.

    Adam and AdamW are `FusedAdam` if PyTorch has its kernels; SGD is taken in its fused form too, which costs a fifth
    of the default one. RMSprop and complex weights take the foreach form.

    Args:
        parameters: What is trained, by name.
        settings: The settings.
        group_of: ``group_of(name, parameter)`` -> key of ``settings.groups``, or None; by name when left out.

    Attributes:
        groups: The group of each parameter, by the parameter's name; those of no group are left out.
        takes_flag: Whether `step` can be switched off by a tensor on the device, unread.

    Raises:
        InvalidInputError: If a group has no parameters, or ``group_of`` returns an unknown one.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        settings: TrainSettings,
        group_of: GroupOf | None = None,
    ) -> None:
        self._parameters = parameters
        self.groups = assign_groups(parameters, settings.groups, group_of)
        members: dict[str, list[str]] = {}
        for name in parameters:
            members.setdefault(self.groups.get(name, _REST), []).append(name)
        known = {_REST: GroupSettings(), **settings.groups}
        per_row = {key: names for key, names in members.items() if known[key].rows}
        dense = [
            self._dense_group(names, known[key], settings)
            for key, names in members.items()
            if key not in per_row
        ]
        self._dense = _make(dense, settings) if dense else None
        self._rows = [
            RowOptimizer({name: parameters[name] for name in names}, settings, known[key])
            for key, names in per_row.items()
        ]
        self.takes_flag = self._dense is None or self._dense.takes_flag

    def _dense_group(self, names: Sequence[str], own: GroupSettings, settings: TrainSettings) -> AdamGroup:
        decay = settings.weight_decay if own.weight_decay is None else own.weight_decay
        return AdamGroup([self._parameters[name] for name in names], decay, own.lr)

    def step(self, lr: float, accepted: Tensor | None = None) -> None:
        """Move the parameters by their gradients; ``accepted`` (0-d, 0 or 1) switches it off without a read."""
        if self._dense is not None:
            self._dense.step(lr, accepted)
        for rows in self._rows:
            rows.step(lr, accepted)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for p in self._parameters.values():
            p.grad = None

    def tensors(self) -> dict[str, Tensor]:
        """State flattened to ``<parameter>::<quantity>``; a parameter that never had a gradient may have none."""
        return {
            f"{name}{_SEPARATOR}{key}": value
            for name, state in self._states().items()
            for key, value in state.items()
            if isinstance(value, Tensor)
        }

    def load(self, stored: Mapping[str, Tensor]) -> None:
        """Put flattened state back, on the device of its parameter."""
        states = self._states()
        for full, value in stored.items():
            name, _, key = full.rpartition(_SEPARATOR)
            if name not in states:
                raise invalid("fit", "the checkpoint's optimizer must belong to this model", repr(full)[:120])
            states[name][key] = like(self._parameters[name].detach(), value)
        if isinstance(self._dense, FusedAdam):
            self._dense.forget()

    def _states(self) -> dict[str, dict[str, Any]]:
        """The state of each parameter, by name; what is put into it counts."""
        found = {name: state for rows in self._rows for name, state in rows.state.items()}
        if self._dense is not None:
            state = self._dense.state
            found |= {name: state[p] for name, p in self._parameters.items() if name not in found}
        return found


class _Rented:
    """An optimizer of PyTorch, with the learning rate and the flag of a step as arguments."""

    def __init__(self, optimizer: torch.optim.Optimizer, factors: Sequence[float]) -> None:
        self._optimizer, self._factors = optimizer, factors
        self.takes_flag = bool(optimizer.defaults.get("fused"))
        self.state: Mapping[Any, dict[str, Any]] = optimizer.state

    def step(self, lr: float, accepted: Tensor | None) -> None:
        """Move the parameters by their gradients."""
        for group, factor in zip(self._optimizer.param_groups, self._factors, strict=True):
            group["lr"] = lr * factor
        if accepted is not None:
            self._optimizer.found_inf = 1 - accepted  # type: ignore[attr-defined]  # the fused kernel reads it
        self._optimizer.step()


def _make(groups: Sequence[AdamGroup], settings: TrainSettings) -> FusedAdam | _Rented:
    every = [p for group in groups for p in group.parameters]
    real = all(p.is_floating_point() for p in every)
    if HAS_KERNELS and real and settings.optimizer in ("adam", "adamw"):
        return FusedAdam(groups, betas=settings.betas, decoupled=settings.optimizer == "adamw")
    options = [{"params": group.parameters, "weight_decay": group.weight_decay} for group in groups]
    return _Rented(_of_pytorch(options, every, settings, real=real), [group.factor for group in groups])


def _of_pytorch(
    groups: list[dict[str, Any]], every: Sequence[nn.Parameter], settings: TrainSettings, *, real: bool
) -> torch.optim.Optimizer:
    form: dict[str, Any] = {"fused": True if real else None, "foreach": None if real else True}
    match settings.optimizer:
        case "sgd":
            sgd = torch.optim.SGD(
                groups, lr=settings.lr, momentum=settings.momentum, nesterov=settings.nesterov, **form
            )
            if settings.momentum:
                for p in every:  # the fused kernel would not fill a new buffer in a step that is switched off
                    sgd.state[p]["momentum_buffer"] = torch.zeros_like(p)
            return sgd
        case "rmsprop":
            return torch.optim.RMSprop(
                groups,
                lr=settings.lr,
                alpha=settings.rms_decay,
                momentum=settings.momentum,
                foreach=True,
            )
        case name:  # complex weights, or a PyTorch without the kernels
            kind = torch.optim.AdamW if name == "adamw" else torch.optim.Adam
            return kind(groups, lr=settings.lr, betas=settings.betas, **form)


def assign_groups(
    parameters: Mapping[str, nn.Parameter],
    groups: Mapping[str, GroupSettings],
    group_of: GroupOf | None = None,
) -> dict[str, str]:
    """The group of each parameter, by name; parameters of no group are left out.

    Raises:
        InvalidInputError: If a group has no parameters, or ``group_of`` returns an unknown one.
    """
    choose = group_of or _by_name(groups)
    chosen = {name: choose(name, p) for name, p in parameters.items()}
    found = {name: key for name, key in chosen.items() if key is not None}
    for name, key in found.items():
        if key not in groups:
            raise invalid("fit", f"group_of must return a key of groups for {name!r}", repr(key))
    if empty := groups.keys() - found.values():
        key = min(empty)
        remedy = nearest(key, _module_names(parameters)) if group_of is None else ""
        raise invalid("fit", "every group must have a trained parameter", repr(key), remedy)
    return found


def _by_name(groups: Mapping[str, GroupSettings]) -> GroupOf:
    longest_first = sorted(groups, key=len, reverse=True)

    def choose(name: str, parameter: nn.Parameter) -> str | None:
        return next((key for key in longest_first if name == key or name.startswith(f"{key}.")), None)

    return choose


def _module_names(parameters: Mapping[str, nn.Parameter]) -> set[str]:
    parts = [name.split(".") for name in parameters]
    return {".".join(part[:n]) for part in parts for n in range(1, len(part) + 1)}
