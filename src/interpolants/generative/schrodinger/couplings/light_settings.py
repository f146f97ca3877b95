"""Settings of the fit of a mixture potential."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Interval

from interpolants.foundations.checked import Checked
from interpolants.foundations.kinds import Count, Positive, Whole


@dataclass(kw_only=True, eq=False)  # the method inherits it
class LightTraining(Checked):
    """Settings of the fit of a mixture potential.

    Raises:
        InvalidInputError: For a setting outside its range.
    """

    n_components: Count = 20
    """Components K of each potential, at most the number of training samples of x1."""
    covariance: Literal["diagonal", "full"] = "diagonal"
    """Slopes of the components."""
    method: Literal["lbfgs", "em", "adam"] = "lbfgs"
    """``"lbfgs"`` or ``"em"`` on the whole sample, or ``"adam"`` on batches."""
    init: Literal["kmeans", "samples"] = "kmeans"
    """Where the components begin: ``"kmeans"`` of the x1, or ``"samples"`` among them."""
    steps: Count | None = None
    """Most iterations; 400, or 10,000 steps of Adam, when None."""
    batch_size: Count = 128
    """Rows of a step of Adam."""
    lr: Positive = 1e-2
    """First learning rate of Adam; it falls to zero like a cosine."""
    heldout: Annotated[float, Interval(ge=0, le=0.5)] = 0.1
    """Share of both sets that is kept to decide when to stop; 0 uses the training set for that."""
    patience: Count = 3
    """Looks at the held-out loss without a gain of 1e-4 nats before stopping, one every 10 iterations. Adam, whose rate
    has to fall, makes all its steps and keeps the best of a look every 250."""
    floor: Annotated[float, Interval(gt=0, lt=1)] = 1e-5
    """Least variance of a component's x1, relative to that of all x1: without it, one component can fall onto one
    sample."""
    seed: Whole = 0
    """Seed of the split, of the components' first places and of the batches."""
