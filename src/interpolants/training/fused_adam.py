"""Adam and AdamW by PyTorch's fused kernel, without the bookkeeping of its optimizers around every step."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from interpolants.training.slices import is_cut

_EPS = 1e-8
# They are private: a later PyTorch may drop them.
HAS_KERNELS = hasattr(torch, "_fused_adam_") and hasattr(torch, "_fused_adamw_")


class AdamGroup(NamedTuple):
    """Parameters that share a weight decay and a factor on the learning rate."""

    parameters: Sequence[nn.Parameter]
    weight_decay: float
    factor: float


class FusedAdam:
    """Adam or AdamW: one kernel for all parameters of a group and type, and one addition for all counts of steps.

    The numbers are those of ``torch.optim.Adam(fused=True)``, to the bit. Finding the same tensors anew in every step,
    and adding one to every count by itself, costs as much there as the kernel for a small network.

    Args:
        groups: Groups of real parameters on one device.
        betas: Decay of the first and second moments.
        decoupled: Decoupled weight decay, that is AdamW.

    Attributes:
        state: ``exp_avg``, ``exp_avg_sq`` and ``step`` of each parameter; one that never had a gradient has none.
    """

    takes_flag = True

    def __init__(self, groups: Iterable[AdamGroup], *, betas: tuple[float, float], decoupled: bool) -> None:
        self.state: defaultdict[Tensor, dict[str, Tensor]] = defaultdict(dict)
        self._betas = betas
        self._kernel = torch._fused_adamw_ if decoupled else torch._fused_adam_
        self._groups = [part for group in groups for part in _by_type(group)]
        self._lanes: list[_Lane | None] = [None] * len(self._groups)

    def forget(self) -> None:
        """To be called when something was put into the state from outside."""
        self._lanes = [None] * len(self._groups)

    @torch.no_grad()
    def step(self, lr: float, accepted: Tensor | None = None) -> None:
        """Move the parameters that have a gradient; ``accepted`` (0-d, 0 or 1) switches it off without a read."""
        refused = None if accepted is None else 1 - accepted
        for place, group in enumerate(self._groups):
            moved: list[Tensor] = [p for p in group.parameters if p.grad is not None]
            if not moved:
                continue
            lane = self._lanes[place]
            if (
                lane is None
                or len(moved) != len(lane.parameters)
                or any(map(_is_other, moved, lane.parameters))
            ):
                lane = self._lanes[place] = self._lane(moved)
            lane.counts.add_(1)
            self._kernel(
                lane.parameters,
                [p.grad for p in moved],  # type: ignore[misc]  # none is None
                lane.means,
                lane.squares,
                [],
                lane.steps,
                lr=lr * group.factor,
                beta1=self._betas[0],
                beta2=self._betas[1],
                weight_decay=group.weight_decay,
                eps=_EPS,
                amsgrad=False,
                maximize=False,
                found_inf=refused,
            )
            if refused is not None:
                lane.counts.sub_(refused)

    def _lane(self, parameters: list[Tensor]) -> "_Lane":
        """The state of some parameters as the kernel takes it; their counts become views of one vector."""
        for p in parameters:
            state = self.state[p]
            if not state:
                state["step"] = torch.zeros((), device=p.device)
                state["exp_avg"] = torch.zeros_like(p, requires_grad=False)
                state["exp_avg_sq"] = torch.zeros_like(p, requires_grad=False)
        states = [self.state[p] for p in parameters]
        counts = torch.stack([state["step"] for state in states])
        for state, step in zip(states, counts.unbind(), strict=True):
            state["step"] = step
        return _Lane(
            parameters,
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [state["step"] for state in states],
            counts,
        )


class _Lane(NamedTuple):
    """Parameters that had a gradient in the last step, and their state."""

    parameters: list[Tensor]
    means: list[Tensor]
    squares: list[Tensor]
    steps: list[Tensor]
    counts: Tensor


def _is_other(one: Tensor, other: Tensor) -> bool:
    return one is not other


def _by_type(group: AdamGroup) -> Iterable[AdamGroup]:
    """Parts with a common type; the kernel takes either whole parameters or parameters cut among processes."""
    kinds = dict.fromkeys((p.dtype, is_cut(p)) for p in group.parameters)
    members = {kind: [p for p in group.parameters if (p.dtype, is_cut(p)) == kind] for kind in kinds}
    return [group._replace(parameters=parameters) for parameters in members.values()]
