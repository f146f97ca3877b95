"""Learning of a causal diffusion autoencoder: the parts that are trained, their rows, and the bound.

Letters: B rows, n factors, d numbers of each block, z codes ``(B, n, d)``, y factors in units of the fit ``(B, n)``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

from interpolants.apps.causal.nets.image_encoder import ImageEncoder
from interpolants.nets.embeddings import drop_condition
from interpolants.nets.perceptron import Perceptron
from interpolants.objectives.losses import Objective
from interpolants.objectives.times import TimeSampler

# Images from so many pixels to a side on are read by convolutions.
_LEAST_SIDE = 8


def choose_encoder(shape: tuple[int, ...], outputs: int, seed: int) -> nn.Module:
    """Convolutions for images, a perceptron for all else; neither has statistics of the batch."""
    if len(shape) == 3 and min(shape[1:]) >= _LEAST_SIDE:
        return ImageEncoder(shape, outputs, seed=seed)
    return Perceptron(int(torch.Size(shape).numel()), outputs, (128, 128), activation="silu", seed=seed)


@dataclass(frozen=True, eq=False)
class CodedRows:
    """Random rows of a batch, ``{"x1", "y"}``.

    Attributes:
        x: Rows in units of the fit, ``(N, *D)``.
        y: Factors in units of the fit, ``(N, n)``; NaN where unknown.
    """

    x: Tensor
    y: Tensor

    def __call__(self, n: int, generator: Generator) -> dict[str, Any]:
        """Rows with replacement."""
        pick = torch.randint(len(self.x), (n,), generator=generator)
        return {"x1": self.x[pick], "y": self.y[pick]}


def encoded(encoder: nn.Module, x: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """Mean and log deviation of the codes ``q(z | x)``, ``(B, n, d)`` each."""
    flat = x if isinstance(encoder, ImageEncoder) else x.flatten(1)
    mean, log_std = encoder(flat).reshape(len(x), -1, 2 * block).chunk(2, 2)
    return mean, log_std.clamp(-7, 2)


def code_divergence(u: Tensor, z: Tensor, log_std: Tensor, y: Tensor, spread: float) -> tuple[Tensor, Tensor]:
    """The two divergences of the bound but for constants, ``(B,)`` each, by factor: divided by the size of a block.

    ``KL(q(u | x) || N(0, 1))`` and, where y is known, ``KL(q(z | x) || N(y, spread^2))``: expectations by one draw z
    with its exogenous u. From u to z the volume is 1, so that both have the entropy of the encoder. Without the
    division a block of d copies of a label would weigh d times as much as a number.

    Args:
        u: Exogenous values of the draw, ``(B, n, d)``.
        z: The draw.
        log_std: Log deviations of the encoder.
        y: Factors ``(B, n)``; NaN where unknown.
        spread: Deviation of codes about their labels.
    """
    entropy = log_std.mean(2)
    prior = (0.5 * u.square().mean(2) - entropy).sum(1)
    known = ~y.isnan()
    gap = torch.where(known[:, :, None], z - y.nan_to_num()[:, :, None], 0.0)
    told = torch.where(known, 0.5 * gap.square().mean(2) / spread**2 - entropy, 0.0)
    return prior, told.sum(1)


class CausalLoss:
    """``L_decoder + weight (KL(u) + KL(z | y))`` on the parts of a model, ``(B,)`` by name.

    The decoder's error is the mean over entries, in units in which the network's output has size one.

    Args:
        objective: What the decoder learns of which path.
        block: d.
        weight: Weight of the divergences.
        spread: Deviation of codes about their labels.
        drop: Chance of a row to be decoded without its code.
        times: Told what the losses say of the times.
    """

    def __init__(
        self,
        objective: Objective,
        *,
        block: int,
        weight: float,
        spread: float,
        drop: float,
        times: TimeSampler,
    ) -> None:
        self.objective, self.block, self.weight, self.spread = objective, block, weight, spread
        self.drop, self.times = drop, times

    def __call__(self, parts: Any, batch: Mapping[str, Any], generator: Generator) -> dict[str, Tensor]:
        """Losses of the decoder, of the prior and of the labels."""
        x1 = batch["x1"]
        mean, log_std = encoded(parts["encoder"], x1, self.block)
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        z = mean + log_std.exp() * noise
        prior, told = code_divergence(parts["structure"].abduct(z), z, log_std, batch["y"], self.spread)
        code = z.flatten(1)
        code = drop_condition(code, self.drop, generator=generator) if self.drop else code
        net, sample = parts["net"], self.objective.path.sample(x1=x1, t=batch["t"], generator=generator)
        gap = net(sample.x_t, sample.t, code) - self.objective.target(sample)
        scale = net.weight(sample.x_t, sample.t)[self.objective.predicts]
        decoder: Tensor = gap.square().flatten(1).mean(1) * scale
        self.times.update(batch["t"], decoder.detach())
        return {
            "decoder": decoder * batch["weight"],
            "prior": self.weight * prior,
            "labels": self.weight * told,
        }
