"""Settings of the fit of a mixture potential."""

from dataclasses import dataclass

from interpolants.foundations.checks import number, one_of, positive, whole


@dataclass(frozen=True, kw_only=True)
class LightTraining:
    """Settings of the fit of a mixture potential.

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
            one_of(who, name, getattr(self, name), options)
        counts = ("n_components", "batch_size", "patience", *(() if self.steps is None else ("steps",)))
        for name in counts:
            whole(who, name, getattr(self, name), at_least=1)
        positive(who, "lr", self.lr)
        number(who, "heldout", self.heldout, at_least=0, at_most=0.5)
        number(who, "floor", self.floor, above=0, below=1)
        whole(who, "seed", self.seed)
