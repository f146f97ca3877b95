"""What critics say of states: a table of four columns."""

import torch
from torch import Tensor

from interpolants.framework.capabilities import verb
from interpolants.sciml.rl.critic_loss import CriticLoss
from interpolants.sciml.rl.critics import Heads

verb("assess", "x")
ASSESSED = ("value", "noise_std", "ensemble_std", "power")


def assessed(heads: Heads, loss: CriticLoss, unit: float) -> Tensor:
    """``(B, 4)``: mean value, standard deviation of the error by its law, that over the ensemble, mean power.

    Args:
        heads: Of an ensemble.
        loss: Its loss, which knows the law.
        unit: What rewards were divided by.
    """
    value = heads.value.mean(1)
    noise = loss.spread(heads).square().mean(1).sqrt()
    apart = heads.value.var(1, correction=0).sqrt()
    power = loss.power(heads).mean(1)
    power = torch.full_like(power, torch.nan) if loss.head == "squared" else power
    return torch.stack([unit * value, unit * noise, unit * apart, power], 1)
