"""Networks of two times: an ordinary network that ignores its own time and takes both as a condition vector."""

from typing import Any

import torch
from torch import Tensor, nn

from interpolants.foundations.ops import batch_time
from interpolants.foundations.remembered import Remembered
from interpolants.foundations.row_times import TakesOneTime, ask
from interpolants.foundations.types import Condition
from interpolants.methods.parts.conditions import ConditionForm, told_net
from interpolants.nets.embeddings import FourierTime

OURS = ("time_features", "cond_dim", "n_classes", "cond_channels", "heads")


class TwoTimeNet(Remembered, id="two_time_net"):
    """``v(x, s, t)`` from any network that takes a condition vector, here ``(phi(s), phi(t - s))``.

    The rules of flow maps differentiate with respect to the times, and the derivative of a feature grows with its
    frequency. So the frequencies stop at ``highest`` turns per unit, a sixteenth of those of a plain network at most.

    Args:
        net: As in :func:`interpolants.nets.build.choose_net`, or an ``nn.Module`` called as ``net(x, s, t)``
            (``net(x, s, t, cond)`` with conditions).
        shape: Event shape of the state.
        form: What is known of each row.
        features: Features of each of the two times, even.
        highest: Highest frequency, in turns per unit of time.
        seed: Seed of the initial weights.

    Raises:
        InvalidInputError: If the network or a setting is unknown, or ``net`` sets what is set here.

    Source: the pair (time, step) after Geng et al. (2025), arXiv:2505.13447, table 1c.
    """

    def __init__(
        self,
        net: Any,
        shape: tuple[int, ...],
        form: ConditionForm | None = None,
        *,
        features: int = 8,
        highest: float = 2.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.form = form or ConditionForm()
        self.is_own = isinstance(net, nn.Module)
        self.phi = FourierTime(features, high=highest)
        told = {"time_features": 0, **self.form.settings(vector=2 * features)}
        self.net = told_net("FlowMap", net, shape, told, OURS, seed)

    def forward(self, x: Tensor, s: Tensor | float, t: Tensor | float, cond: Tensor | None = None) -> Tensor:
        """Average velocity between the times: ``x (B, *D)``, times 0-d or ``(B,)`` -> ``(B, *D)``."""
        s, t = batch_time(s, x), batch_time(t, x)
        if self.is_own:
            own: Tensor = ask(self.net, x, s, t) if cond is None else ask(self.net, x, s, t, cond)
            return own
        times = torch.cat([self.phi(s), self.phi(t - s)], 1).to(x.dtype)
        told = times if cond is None else self.form.join(cond, vector=times)
        velocity: Tensor = self.net(x, 0.0, told)
        return velocity


class Diagonal(TakesOneTime, nn.Module):
    """The velocity of the flow, ``b(x, t) = v(x, t, t)``, called as fields are."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, t: Tensor | float, cond: Condition = None) -> Tensor:
        """Velocity at ``x (B, *D)`` and ``t`` 0-d or ``(B,)``."""
        value: Tensor = self.net(x, t, t) if cond is None else self.net(x, t, t, cond)
        return value
