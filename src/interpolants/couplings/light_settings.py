"""How a mixture potential is learnt."""

import math
from dataclasses import dataclass

from interpolants.foundations.errors import invalid, nearest


@dataclass(frozen=True, kw_only=True)
class LightTraining:
    """How a mixture potential is learnt.

    Args:
        n_components: K, >= 1 and at most the number of training samples of x1.
        covariance: ``"diagonal"`` or ``"full"`` slopes.
        method: ``"lbfgs"`` or ``"em"`` on the whole sample, or ``"adam"`` on batches.
        init: Where the components begin: ``"kmeans"`` of the x1, or ``"samples"`` among them.
        steps: Most iterations; 400, or 10,000 steps of Adam, when None.
        batch_size: Rows of a step of Adam.
        lr: First learning rate of Adam; it falls to zero like a cosine.
        heldout: Share of both sets that is kept to decide when to stop, in [0, 0.5]; 0 uses the training set for that.
        patience: Looks at the held-out loss without a gain of 1e-4 nats before stopping, one every 10 iterations.
            Adam, whose rate has to fall, makes all its steps and keeps the best of a look every 250.
        floor: Least variance of a component's x1, relative to that of all x1: without it, one component can fall
            onto one sample.
        seed: Seed of the split, of the components' first places and of the batches.

    Raises:
        InvalidInputError: For a setting outside its range.
    """

    n_components: int = 20
    covariance: str = "diagonal"
    method: str = "lbfgs"
    init: str = "kmeans"
    steps: int | None = None
    batch_size: int = 128
    lr: float = 1e-2
    heldout: float = 0.1
    patience: int = 3
    floor: float = 1e-5
    seed: int = 0

    def __post_init__(self) -> None:
        who = "LightTraining"
        for name, options in (
            ("covariance", ("diagonal", "full")),
            ("method", ("lbfgs", "em", "adam")),
            ("init", ("kmeans", "samples")),
        ):
            given = getattr(self, name)
            if given not in options:
                raise invalid(
                    who, f"{name} must be one of {options}", repr(given), nearest(str(given), options)
                )
        counts = ("n_components", "batch_size", "patience", *(() if self.steps is None else ("steps",)))
        for name in counts:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise invalid(who, f"{name} must be an integer >= 1", value)
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise invalid(who, "lr must be finite and > 0", self.lr)
        if not 0 <= self.heldout <= 0.5:
            raise invalid(who, "heldout must lie in [0, 0.5]", self.heldout)
        if not 0 < self.floor < 1:
            raise invalid(who, "floor must lie in (0, 1)", self.floor)
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise invalid(who, "seed must be an integer >= 0", self.seed)
