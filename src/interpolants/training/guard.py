"""Guard against NaN and infinity in the weights: one flag per step, read only where reading is free."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from interpolants.training.slices import local

_PATIENCE = 100


class Guard:
    """Decides whether a step counts, from its loss and the norm of its gradient.

    On a CPU the flag is read at once. On an accelerator a read would stall the queue, so the flag stays
    there: the fused optimizer and the moving average take it as an argument, and `read` is called now and
    then. Under ``on_nonfinite="raise"`` the first bad step switches all later ones off, so that whenever the
    flag is read the weights are those before the bad step, and the step can be replayed to explain it.

    Args:
        device: Where the training runs.
        sticky: Whether a bad step ends the training.
        deferred: Whether the flag stays on the device; by default exactly where reading it would wait.
    """

    def __init__(self, device: torch.device, *, sticky: bool, deferred: bool | None = None) -> None:
        self.deferred = device.type != "cpu" if deferred is None else deferred
        self._sticky = sticky
        # bad step (0 = none) | skipped steps | skipped in a row
        self._state = torch.zeros(3, dtype=torch.float64, device=device)
        self.first_bad, self.skipped, self._in_a_row = 0, 0, 0

    def judge(self, step: int, total: Tensor, norm: Tensor) -> bool | Tensor:
        """True if the step counts; deferred, the same as a 0-d tensor of 0 or 1 on the device."""
        if not self.deferred:
            good = math.isfinite(total.item()) and math.isfinite(norm.item())
            self._count(step, good)
            return good
        bad = ~(torch.isfinite(total.detach()) & torch.isfinite(norm))
        first, skipped, row = self._state.unbind()
        if self._sticky:
            bad = bad | (first > 0)
        first = torch.where(bad & (first == 0), float(step), first)
        self._state = torch.stack([first, skipped + bad, torch.where(bad, row + 1, 0.0)])
        return (~bad).to(torch.float32)

    def _count(self, step: int, good: bool) -> None:
        if good:
            self._in_a_row = 0
            return
        self.first_bad = self.first_bad or step
        self.skipped += 1
        self._in_a_row += 1

    def read(self) -> None:
        """Bring the counts to the host; waits for the device when deferred."""
        if self.deferred:
            self.first_bad, self.skipped, self._in_a_row = (int(value) for value in self._state.tolist())

    def restore(self, skipped: int) -> None:
        """Continue the count of a stopped run."""
        self.skipped = skipped
        self._state[1] = skipped

    @property
    def must_stop(self) -> bool:
        """Whether the last `read` says that going on is pointless."""
        return (self._sticky and self.first_bad > 0) or self._in_a_row >= _PATIENCE


def gradient_norm(gradients: Sequence[Tensor]) -> Tensor:
    """Euclidean norm over all gradients, 0-d."""
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(gradients))))
    return norm


def clip(gradients: Sequence[Tensor], norm: Tensor, most: float, *, deferred: bool) -> None:
    """Scale the gradients so that their norm is at most ``most``; touches nothing when it already is."""
    if deferred:
        torch._foreach_mul_(list(gradients), (most / norm).clamp(max=1.0))
    elif (length := norm.item()) > most:
        torch._foreach_mul_(list(gradients), most / length)


def explain(losses: Mapping[str, Tensor], parameters: Mapping[str, nn.Parameter]) -> str:
    """Name the first thing that is not finite: a loss and its batch rows, a gradient, or their size."""
    for name, values in losses.items():
        if values.ndim == 0 and not torch.isfinite(values.detach()):
            return f"loss {name!r} of the batch is not finite"
        rows = torch.nonzero(~torch.isfinite(values.detach())).flatten().tolist()
        if rows:
            shown = f"{rows[:8]}{' and more' if len(rows) > 8 else ''}"
            return (
                f"loss {name!r} is not finite in rows {shown} of the batch ({len(rows)} of {values.numel()})"
            )
    for name, p in parameters.items():
        if p.grad is not None and not torch.isfinite(local(p.grad)).all():
            return f"every loss is finite but the gradient of {name!r} is not"
    return "losses and gradients are finite here but not their sum, or those of another process"
