"""Optimizer of per-row parameters: rows that have no gradient in a step are left as they are."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from interpolants.foundations.errors import invalid
from interpolants.training.settings import GroupSettings, TrainSettings

State = dict[str, Tensor]

_EPS = 1e-8


class RowOptimizer:
    """SGD, RMSprop, Adam or AdamW in which every row of a parameter ``(N, *D)`` goes its own way.

    A dense optimizer moves the rows that are not in the batch as well: by momentum, by weight decay, and by moments
    that decay without them. Here such a row keeps its value, its moments and its count of steps. The row is taken as
    absent where its whole gradient is zero. If every row has a gradient in every step, the result is that of the
    dense optimizer, up to rounding.

    Args:
        parameters: Parameters with rows in their first dimension, by name.
        settings: The settings of the run.
        group: Those of the group.

    Attributes:
        state: Moments of the shape of the parameter and ``step`` ``(N,)``, by the parameter's name.

    Raises:
        InvalidInputError: If a parameter has no rows or is complex.
    """

    def __init__(
        self, parameters: Mapping[str, nn.Parameter], settings: TrainSettings, group: GroupSettings
    ) -> None:
        for name, p in parameters.items():
            if p.ndim == 0 or not p.is_floating_point():
                raise invalid("fit", f"per-row parameter {name!r} must be real with rows", tuple(p.shape))
        self._parameters, self._settings, self._factor = parameters, settings, group.lr
        self._decay = settings.weight_decay if group.weight_decay is None else group.weight_decay
        self._rule = _RULES[settings.optimizer]
        self.state = {name: _new_state(p, settings) for name, p in parameters.items()}

    @torch.no_grad()
    def step(self, lr: float, accepted: Tensor | None = None) -> None:
        """Move the rows that have a gradient; ``accepted`` (0-d, 0 or 1) switches it off without a read."""
        for name, p in self._parameters.items():
            if p.grad is not None:
                self._move(p, p.grad, self.state[name], lr * self._factor, accepted)

    def _move(self, p: Tensor, grad: Tensor, state: State, lr: float, accepted: Tensor | None) -> None:
        seen = (grad.reshape(len(grad), -1) != 0).any(1)
        seen = seen if accepted is None else seen & (accepted > 0)
        if self._decay and self._settings.optimizer != "adamw":
            grad = grad + self._decay * p
        kept = p * (1 - lr * self._decay) if self._settings.optimizer == "adamw" else p
        new = {key: value.clone() for key, value in state.items()}
        new["step"] += 1
        moved = kept - lr * self._rule(grad, new, self._settings)
        # Everything is calculated for all rows, which costs no more than the gradient did and reads nothing.
        for old, value in [(p, moved), *((state[key], value) for key, value in new.items())]:
            old.copy_(torch.where(_like_rows(seen, old), value, old))


def _new_state(p: Tensor, settings: TrainSettings) -> State:
    moments = {
        "adam": ("exp_avg", "exp_avg_sq"),
        "adamw": ("exp_avg", "exp_avg_sq"),
        "rmsprop": ("square_avg",),
    }
    names = [*moments.get(settings.optimizer, ())]
    if settings.momentum:
        names.append("momentum_buffer")
    return {
        **{name: torch.zeros_like(p, requires_grad=False) for name in names},
        "step": torch.zeros(len(p), dtype=torch.float32, device=p.device),
    }


def _like_rows(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (like.ndim - 1))


def _sgd(grad: Tensor, state: State, settings: TrainSettings) -> Tensor:
    if not settings.momentum:
        return grad
    momentum = state["momentum_buffer"].mul_(settings.momentum).add_(grad)
    return grad + settings.momentum * momentum if settings.nesterov else momentum


def _rmsprop(grad: Tensor, state: State, settings: TrainSettings) -> Tensor:
    decay = settings.rms_decay
    square = state["square_avg"].mul_(decay).addcmul_(grad, grad, value=1 - decay)
    scaled = grad / (square.sqrt() + _EPS)
    if not settings.momentum:
        return scaled
    return state["momentum_buffer"].mul_(settings.momentum).add_(scaled)


def _adam(grad: Tensor, state: State, settings: TrainSettings) -> Tensor:
    first, second = settings.betas
    mean = state["exp_avg"].lerp_(grad, 1 - first)
    square = state["exp_avg_sq"].mul_(second).addcmul_(grad, grad, value=1 - second)
    count = _like_rows(state["step"], grad)
    size = square.sqrt() / _filled(second, count).sqrt().to(grad.dtype) + _EPS
    return mean / _filled(first, count).to(grad.dtype) / size


def _filled(decay: float, count: Tensor) -> Tensor:
    """``1 - decay ** count``, without the cancellation."""
    return -torch.expm1(count * (math.log(decay) if decay else -math.inf))


_RULES: dict[str, Callable[[Tensor, State, TrainSettings], Tensor]] = {
    "sgd": _sgd,
    "rmsprop": _rmsprop,
    "adam": _adam,
    "adamw": _adam,
}
