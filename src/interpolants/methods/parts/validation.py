"""Validation of a fit by rows that it does not learn from: the loss at fixed times, pairs and noise.

The draws are the same at every validation and after a resume, so that two losses differ by what was learnt alone. The
weights with the least loss are kept, those from before the first step among them, and a fit that finds none better for
a quarter of its steps ends.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from interpolants.foundations.randomness import generator
from interpolants.training.losses import Batches, Loss
from interpolants.training.settings import TrainSettings

HELD_OUT_LOSS = "held_out_loss"
EVERY = 50  # steps between validations
# Draws of a validation: so many batches, but at least so many rows of vectors or of images, and no more.
_BATCHES, _ROWS, _IMAGES, _MOST = 4, 1024, 256, 8192


def draws_for(batch_size: int, *, images: bool) -> int:
    """Draws of a validation, which cost 1 to 5 % of the training steps between two of them."""
    return min(max(_BATCHES * batch_size, _ROWS) if not images else max(2 * batch_size, _IMAGES), _MOST)


def validated(settings: TrainSettings) -> TrainSettings:
    """Settings of the loop that keep the best weights, unless they ask for a validation of their own."""
    if settings.keep_best is not None:
        return settings
    every = settings.validate_every or EVERY
    patience = settings.patience or max(10, settings.steps // (4 * every))
    return settings.model_copy(
        update={"keep_best": HELD_OUT_LOSS, "validate_every": every, "patience": patience}
    )


class HeldOutLoss:
    """``validate`` of a training loop: the mean loss of held-out rows, as ``{"held_out_loss": value}``.

    Args:
        loss: The loss, as the loop takes it.
        batches: Batches of held-out rows, of any size.
        n: Rows to draw.
        size: Rows of such a batch.
        seed: Seed of the draws.
    """

    def __init__(self, loss: Loss, batches: Batches, n: int, size: int, seed: int) -> None:
        self.loss, self.seed = loss, seed
        self.batches = [
            batches(k + 1, generator(seed, "validation rows", k), 0, 1) for k in range(-(-n // size))
        ]

    def __call__(self, modules: nn.Module, step: int) -> Mapping[str, float]:
        """The mean over all draws and losses."""
        call: Callable[..., Any] = self.loss
        device, total = next(modules.parameters()).device, 0.0
        for k, batch in enumerate(self.batches):
            losses = call(modules, batch, generator(self.seed, "validation noise", k, device=device))
            total += sum(float(values.mean()) for values in losses.values())
        return {HELD_OUT_LOSS: total / len(self.batches)}
