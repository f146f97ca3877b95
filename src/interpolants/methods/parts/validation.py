"""Validation of a fit by rows that it does not learn from: the loss at fixed times, pairs and noise.

The draws are the same at every validation and after a resume, so that two losses differ by what was learnt alone. The
weights with the least loss are kept, those from before the first step among them, and a fit that finds none better for
a quarter of its steps ends.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from interpolants.foundations.randomness import generator
from interpolants.framework.stages import Run
from interpolants.training.losses import Batches, Loss
from interpolants.training.settings import TrainSettings
from interpolants.training.world import values_of_all

HELD_OUT_LOSS = "held_out_loss"
# Steps between validations, more for batches of fewer rows, whose steps are cheap; and the steps of the least patience.
EVERY, _USUAL, _LEAST = 50, 128, 500
# Draws of a validation: so many batches, but at least so many rows of vectors or of images, and no more.
_BATCHES, _ROWS, _IMAGES, _MOST = 3, 512, 256, 8192
# Rows of one call of the network.
_FEWEST, _LARGEST = 256, 1024


def draws_for(batch_size: int, *, images: bool) -> int:
    """Draws of a validation, which cost 2 to 3 % of the training steps between two of them."""
    return min(max(_BATCHES * batch_size, _ROWS) if not images else max(2 * batch_size, _IMAGES), _MOST)


def validated(settings: TrainSettings) -> TrainSettings:
    """Settings of the loop that keep the best weights, unless they ask for a validation of their own."""
    if settings.keep_best is not None:
        return settings
    every = settings.validate_every or EVERY * max(1, -(-_USUAL // settings.batch_size))
    patience = settings.patience or max(-(-_LEAST // every), settings.steps // (4 * every))
    return replace(settings, keep_best=HELD_OUT_LOSS, validate_every=every, patience=patience)


def followed(
    run: Run,
    settings: TrainSettings,
    loss: Loss,
    batches: Callable[[int], Batches] | None,
    *,
    images: bool = False,
    as_trained: bool = False,
) -> tuple[TrainSettings, dict[str, Any]]:
    """Settings and options of a loop that keeps the weights which are best on held-out rows.

    Args:
        run: The run of the fit; a ``validate`` of the user's own takes precedence.
        settings: Settings of the loop.
        loss: The loss on held-out rows.
        batches: Batches of held-out rows, by their size; None without such rows.
        images: Whether rows are images.
        as_trained: Draw batches of the training's size, where their rows depend on each other.
    """
    if batches is None or "validate" in run.options:
        return settings, {}
    size = min(settings.batch_size if images or as_trained else max(settings.batch_size, _FEWEST), _LARGEST)
    n = draws_for(settings.batch_size, images=images)
    return validated(settings), {"validate": HeldOutLoss(loss, batches(size), n, size, settings.seed)}


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
        """The mean over all draws and losses; the processes that train together share the batches."""
        call: Callable[..., Any] = self.loss
        device = next(modules.parameters()).device

        def of_batch(k: int) -> float:
            losses = call(
                modules, self.batches[k], generator(self.seed, "validation noise", k, device=device)
            )
            return sum(float(values.mean()) for values in losses.values())

        return {HELD_OUT_LOSS: sum(values_of_all(len(self.batches), of_batch, device)) / len(self.batches)}
