"""A flow under a structured condition: the law of ``x1 | c``, by one quantity of ``x_t = alpha x0 + beta x1``.

A method that has such a flow brings the units of x1, a network that is told c, and rows. What is said here, once: which
paths and quantities go together, when a network is preconditioned, how its errors count, what a batch is made of and in
which order, what held-out rows decide, and where draws start.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from torch import Generator, nn

from interpolants.dynamics.sample import Samples, sample
from interpolants.fields.learned import LearnedFields
from interpolants.fields.preconditioned import Preconditioned, check_preconditioned
from interpolants.fields.protocol import QUANTITIES, Fields
from interpolants.foundations.checks import one_of
from interpolants.foundations.types import Field
from interpolants.framework.stages import Run
from interpolants.methods.parts.choices import choose_times
from interpolants.methods.parts.start_points import draw_base
from interpolants.methods.parts.validation import followed
from interpolants.nets.embeddings import drop_condition
from interpolants.objectives.conditioned_loss import ConditionedLoss
from interpolants.objectives.joint import joint_loss
from interpolants.objectives.times import StratifiedTimes, TimeSampler
from interpolants.paths.from_gaussian import gaussian_path
from interpolants.paths.path import SpatiallyLinearPath
from interpolants.training.losses import Loss
from interpolants.training.pairs import TimedNet, finished
from interpolants.training.settings import TrainSettings

# ``rows(n, generator)``: n rows ``{"x1", "cond", "known"}``. The condition may be left out where there is none, and
# ``known``, the entries of x1 that count, where all do. A loss of the method's own may ask for others.
RowSource = Callable[[int, Generator], dict[str, Any]]

# Of another quantity the velocity follows by a division by what vanishes at an end of the path, which would multiply
# every error of the network. The velocity itself may be learnt as it is.
WRAPPED = tuple(quantity for quantity in QUANTITIES if quantity != "velocity")


@dataclass(frozen=True)
class FlowBatches:
    """The batch of a step, a function of the step's generator alone.

    Rows are drawn first, then their times, then which of them lose the condition: another order would give other
    numbers for the same seed.

    Attributes:
        rows: Where rows come from.
        size: Rows per step, over all processes.
        times: Where in time the loss is taken.
        drop: Share of rows that are told nothing, in [0, 1).
        latest: Largest time that is learnt, in (0, 1].
    """

    rows: RowSource
    size: int
    times: TimeSampler
    drop: float = 0.0
    latest: float = 1.0

    def __call__(self, step: int, generator: Generator, rank: int, world: int) -> dict[str, Any]:
        """The share of this process in the batch of ``step``."""
        n = max(1, self.size // world)
        batch = self.rows(n, generator)
        t, weight = self.times.sample(n, generator=generator)
        if self.drop:
            batch = {**batch, "cond": drop_condition(batch["cond"], self.drop, generator=generator)}
        return {**batch, "t": t if self.latest == 1 else t * self.latest, "weight": weight}


@dataclass(frozen=True, kw_only=True)
class ConditionalFlow:
    """Settings of a conditional flow, checked once; what learns a network by them, and draws.

    Args:
        who: Public name of the method, for errors.
        path: A one-sided path with a Gaussian base and one schedule for all entries.
        head: Quantity that the network learns.
        times: Where in time to learn, as in ``Bridge``.
        wrapped: Quantities whose network is preconditioned, for x1 of unit size. Their errors count in units of the
            network, but for the velocity, whose own have one size at all times.
        mean: Whether squared errors are averaged over entries, or summed.
        drop: Share of training rows that are told nothing, for guidance without a classifier; in [0, 1).
        latest: Largest time that is learnt, in (0, 1].

    Raises:
        InvalidInputError: If the path has no such base, no network can learn the quantity on it, or the times are
            unknown.
    """

    who: str
    path: SpatiallyLinearPath
    head: str = "velocity"
    times: Any = "auto"
    wrapped: Collection[str] = WRAPPED
    mean: bool = False
    drop: float = 0.0
    latest: float = 1.0

    def __post_init__(self) -> None:
        one_of(self.who, "head", self.head, QUANTITIES)
        gaussian_path(self.who, self.path)
        if self.wraps:
            check_preconditioned(self.path, (self.head,))
        choose_times(self.who, self.times, self.path)

    @property
    def wraps(self) -> bool:
        """Whether the network is preconditioned."""
        return self.head in self.wrapped

    def wrap(self, net: nn.Module, size: float = 1.0) -> nn.Module:
        """The network, preconditioned for x1 of this size if its quantity is ``wrapped``."""
        return Preconditioned(net, self.path, (self.head,), size) if self.wraps else net

    def loss(self, net: nn.Module, times: TimeSampler) -> ConditionedLoss:
        """The loss of a network that came from :meth:`wrap`, or has the ``weight`` of the one inside.

        Args:
            net: The network.
            times: Told what the losses say of the times.
        """
        (objective,) = joint_loss((self.head,), self.path).objectives
        weight: Any = net.weight if self.wraps and self.head != "velocity" else None
        return ConditionedLoss(objective, mean=self.mean, weight=weight, times=times)

    def learnt(
        self,
        run: Run,
        stage: str,
        net: nn.Module,
        rows: RowSource,
        settings: TrainSettings,
        *,
        held: RowSource | None = None,
        images: bool = False,
        loss: Callable[[TimeSampler], Loss] | None = None,
    ) -> nn.Module:
        """The network after one gradient loop: frozen, with the weights that are best on held-out rows if there are.

        Args:
            run: The run of the fit.
            stage: Name of the loop.
            net: Trained in place; called as ``net(x_t, t, cond)``.
            rows: Rows to learn from.
            settings: Settings of the loop.
            held: Rows to judge by, at even times.
            images: Whether rows are images, of which a validation takes fewer.
            loss: A loss of the method's own, by the times that it tells; :meth:`loss` if None.
        """
        new_loss = loss or (lambda told: self.loss(net, told))
        times, even = choose_times(self.who, self.times, self.path), StratifiedTimes()

        def unseen(size: int) -> FlowBatches:
            assert held is not None
            return FlowBatches(held, size, even, self.drop, self.latest)

        settings, options = followed(run, settings, new_loss(even), unseen if held else None, images=images)
        batches = FlowBatches(rows, settings.batch_size, times, self.drop, self.latest)
        result = run.train(stage, TimedNet(net, times), new_loss(times), batches, settings, **options)
        return finished(net, result)

    def fields(self, net: Field) -> LearnedFields:
        """The fields of a network, or another function, that knows the quantity."""
        known: dict[str, Any] = {self.head: net}
        return LearnedFields(self.path, **known)

    def drawn(
        self, fields: Fields, shape: tuple[int, ...], n: int, *, seed: int, first: int = 0, **how: Any
    ) -> Samples:
        """Draws of x1 at the end of the path: draw i is one number of (seed, first + i).

        Args:
            fields: Those of :meth:`fields`, guided or not.
            shape: Event shape of x1.
            n: Draws.
            seed: Seed of the starts, and of the noise where there is some.
            first: Index of the first draw in a larger job.
            how: What else :func:`~interpolants.dynamics.sample.sample` takes, such as ``cond``.
        """
        start = draw_base(self.path.base, shape, n, seed, first)
        return sample(fields, start, seed=seed, first_index=first, **how)
