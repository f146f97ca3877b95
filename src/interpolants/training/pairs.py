"""Training of the fields of a path from two sample sets: batches of pairs, the joint loss, and the loop."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import torch
from torch import Generator, Tensor, nn

from interpolants.couplings.condition_cost import ConditionedCoupling, tells_conditions_on_the_way
from interpolants.couplings.independent import Independent
from interpolants.couplings.paired import Paired
from interpolants.couplings.pairs import AUTO, LabelledCoupling, RowsOfLabel, UnfittedCoupling, labels_within
from interpolants.couplings.semidiscrete import Semidiscrete, SemidiscretePlan
from interpolants.data.endless import EndlessRows
from interpolants.fields.error_growth import warn_of_growing_errors
from interpolants.fields.learned import LearnedFields
from interpolants.fields.log_density import LogDensity
from interpolants.fields.preconditioned import Preconditioned
from interpolants.foundations.checks import number
from interpolants.foundations.devices import here
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import generator as seeded
from interpolants.foundations.row_access import Rows, in_memory, training_rows
from interpolants.foundations.row_times import TakesOneTime, ask
from interpolants.foundations.row_weights import WeightedRows, even_rows
from interpolants.foundations.tell import SettingWarning, tell
from interpolants.foundations.types import Condition, check_rows, join_rows, take_rows
from interpolants.nets.build import choose_net
from interpolants.nets.embeddings import drop_condition as drop_rows
from interpolants.objectives.joint import JointLoss, joint_loss
from interpolants.objectives.masked_loss import MaskedLoss
from interpolants.objectives.penalties import Penalty, check_penalties
from interpolants.objectives.times import StratifiedTimes, TimeSampler, UniformTimes
from interpolants.paths.path import Path
from interpolants.training.engine import FitResult, fit
from interpolants.training.instance_noise import InstanceNoise
from interpolants.training.settings import TrainSettings

Net = TypeVar("Net", bound=nn.Module)


def _warn_of_blind_pairs(who: str, coupling: object) -> None:
    """Pairs by distance alone give each condition starts of its own, which sampling does not know."""
    looks = isinstance(coupling, ConditionedCoupling) and coupling.condition_weight != 0
    if isinstance(coupling, LabelledCoupling) and coupling.within == AUTO and not looks:
        message = (
            f"{who}: {type(coupling).__name__} pairs without a look at conditions that are no labels, which biases the "
            "starts of each condition. Use condition_weight='auto', or coupling='independent'."
        )
        tell(SettingWarning, message)


class PairBatches:
    """The batch of a step, ``{"x0", "x1", "cond", "t", "weight"}``: a function of the step's generator alone.

    Where a coupling pairs by numbers that are known of both ends, ``cond`` is ``(1 - t) c0 + t c1``, and ``cond1`` is
    c1: c0 and c1 of a pair differ by the distance of neighbours in a batch.

    Rows of either end are drawn uniformly, with replacement; :meth:`by_weight` draws them by weight. Where the coupling
    pairs within labels and both ends have them, only those of x1 are: each brings a row of x0, uniform among those with
    its label. Labels then come as often as in x1 at both ends, whatever their frequency in x0; the distribution of x0
    given its label is that of the data.
    So where the frequencies are equal both marginals are kept, and where they differ rho0 is weighted anew by label.

    Args:
        x0: Samples of rho0, ``(N0, *D)``, a tensor, ``LazyRows`` or ``EndlessRows``; None where the path draws them
            itself. Endless rows have no conditions and no pairs.
        x1: Samples of rho1, ``(N1, *D)``, likewise.
        size: Rows per step, over all processes.
        coupling: How the rows of a batch are paired; ``Paired`` keeps row i with row i. One that must be learnt is
            fitted to the two sets here.
        times: Where in time the loss is taken.
        cond: What is known of each row of ``x1``.
        cond0: What is known of each row of ``x0``.
        perturb: Noise on the rows of ``x1``, before they are paired.
        who: Name of the caller, used in error messages.

    Raises:
        InvalidInputError: If conditions do not fit their rows, or the coupling does not fit the ends or their labels.
    """

    def __init__(
        self,
        x0: Rows | None,
        x1: Rows,
        size: int,
        coupling: Any,
        times: TimeSampler,
        *,
        cond: Condition = None,
        cond0: Condition = None,
        perturb: InstanceNoise | None = None,
        who: str = "PairBatches",
    ) -> None:
        for x, known, end in ((x0, cond0, "x0"), (x1, cond, "x1")):
            if x is not None and not isinstance(x, EndlessRows):
                check_rows(who, known, len(x), f"row of {end}", "cond" if end == "x1" else "cond0")
        x1 = _prepared(who, x1, perturb)
        self.perturb = perturb
        if isinstance(coupling, Semidiscrete) and perturb is not None and perturb.fresh and perturb.std:
            rule = "Semidiscrete pairs with the rows of x1 themselves, without instance noise"
            raise invalid(who, rule, f"std={perturb.std!r}", "Use coupling='minibatch_ot'.")
        self.who, self.unfitted = who, coupling
        coupling = _fitted(who, coupling, x0, x1)
        self.x0, self.x1, self.cond, self.cond0 = x0, x1, cond, cond0
        self.size, self.coupling, self.times = size, coupling, times
        self.weighted0: WeightedRows | None = None
        self.weighted1: WeightedRows | None = None
        self.on_the_way = x0 is not None and tells_conditions_on_the_way(coupling, cond0, cond)
        within = labels_within(coupling, cond0, cond)
        if x0 is not None and cond is not None and within is None:
            _warn_of_blind_pairs(who, coupling)
        self.by_label = RowsOfLabel.of(who, cond0, cond, within) if x0 is not None and within else None
        self.paired = x0 is not None and isinstance(coupling, Paired)
        if self.paired and any(isinstance(x, EndlessRows) for x in (x0, x1)):
            remedy = "Draw pairs once, or use another coupling."
            raise invalid(who, "a paired coupling needs rows that belong together", "draws", remedy)
        if self.paired and x0 is not None and len(x0) != len(x1):
            remedy = "Row i of x0 must belong to row i of x1; for unrelated sets take coupling='independent'."
            raise invalid(who, "a paired coupling needs x0 and x1 of one size", (len(x0), len(x1)), remedy)

    def __call__(self, step: int, generator: Generator, rank: int, world: int) -> dict[str, Any]:
        """The share of this process in the batch of ``step``."""
        rows = max(1, self.size // world)
        share = (step, rows, rank, world)
        pick = (
            None if isinstance(self.x1, EndlessRows) else self._any(self.x1, rows, generator, self.weighted1)
        )
        x1, cond = _rows_at(self.x1, pick, share, generator), take_rows(self.cond, pick)
        x1 = x1 if self.perturb is None else self.perturb.draw(x1, generator=generator)
        x0: Tensor | None = None
        first: Any = None
        if self.x0 is not None:
            pick0 = self._starts(self.x0, pick, rows, generator)
            cond0, x0 = take_rows(self.cond0, pick0), _rows_at(self.x0, pick0, share, generator)
            x1 = self.coupling.rows if isinstance(self.coupling, SemidiscretePlan) else x1
            pairs = self.coupling.pair(x0, x1, generator=generator, cond0=cond0, cond1=cond)
            x0, x1, cond, first = pairs.x0, pairs.x1, pairs.cond1, pairs.cond0
        times = self.times.sample(rows, generator=generator)
        told: dict[str, Any] = {"cond": cond}
        if self.on_the_way:
            t = times.t.to(cond).reshape(-1, *[1] * (cond.ndim - 1))
            told = {"cond": (1 - t) * first + t * cond, "cond1": cond}
        return {"x0": x0, "x1": x1, **told, "t": times.t, "weight": times.weight}

    def by_weight(self, weights0: Tensor | None, weights: Tensor | None) -> Self:
        """Draw rows of each end in proportion to their weights: the batches are of the weighted distributions.

        Where starts are drawn by the labels of x1, labels come as often as among the weighted rows of x1, and rows of
        x0 in proportion to their weights within a label. Pairs that belong together are drawn by ``weights``.

        Args:
            weights0: Weight of each row of ``x0``, ``(N0,)``, finite and positive; None for rows of equal weight.
            weights: Weight of each row of ``x1``, ``(N1,)``; None for rows of equal weight.
        """
        self.weighted0, self.weighted1 = (None if w is None else WeightedRows(w) for w in (weights0, weights))
        if weights0 is not None and self.by_label is not None:
            self.by_label = self.by_label.by_weight(weights0)
        if weights0 is not None or weights is not None:
            self.coupling = _fitted(self.who, self.unfitted, self.x0, self.x1, weights0, weights)
        return self

    @staticmethod
    def _any(x: Rows, rows: int, generator: Generator, weighted: WeightedRows | None) -> Tensor:
        if weighted is not None:
            return weighted.draw(rows, generator)
        return torch.randint(len(x), (rows,), generator=generator)

    def _starts(self, x0: Rows, pick: Tensor | None, rows: int, generator: Generator) -> Tensor | None:
        """Rows of x0 for a batch with these rows of x1."""
        if isinstance(x0, EndlessRows):
            return None
        if pick is not None and self.paired:
            return pick
        if pick is not None and self.by_label is not None:
            return self.by_label.draw(pick, generator)
        return self._any(x0, rows, generator, self.weighted0)


def _rows_at(x: Rows, pick: Tensor | None, share: tuple[int, int, int, int], generator: Generator) -> Tensor:
    """Return the picked rows; of endless data, this process's share of the step's rows."""
    if pick is not None:
        return training_rows(x, pick, generator)
    found: Tensor = x.batch(*share)
    return found


def _prepared(who: str, x: Rows, perturb: InstanceNoise | None) -> Rows:
    """Rows with the noise that they keep, if it is to be kept."""
    if perturb is None or perturb.fresh or perturb.std == 0:
        return x
    if isinstance(x, EndlessRows):
        rule = "instance noise must be fresh where rows are drawn afresh"
        raise invalid(who, rule, "fresh=False", "Use InstanceNoise(std).")
    return perturb.prepare(in_memory(x))


def _fitted(
    caller: str,
    coupling: Any,
    x0: Rows | None,
    x1: Rows,
    weights0: Tensor | None = None,
    weights: Tensor | None = None,
) -> Any:
    """A coupling that learns from the two sets of rows, fitted; any other coupling unchanged."""
    if not isinstance(coupling, UnfittedCoupling):
        return coupling
    if x0 is None:
        remedy = "Use a two-sided path, or another coupling."
        raise invalid(caller, f"{type(coupling).__name__} needs samples of both ends", "x0=None", remedy)
    if not isinstance(coupling, Semidiscrete):
        return coupling.fit(_known_rows(x0, weights0), _known_rows(x1, weights))
    if isinstance(x1, EndlessRows):
        remedy = "Pass a finite set of rows, or use coupling='minibatch_ot'."
        raise invalid(caller, "Semidiscrete needs a finite x1", "rows drawn afresh", remedy)
    draws = x0.batch if isinstance(x0, EndlessRows) else _known_rows(x0, weights0)
    return coupling.fit(draws, in_memory(x1), weights)


def _known_rows(x: Rows, weights: Tensor | None) -> Tensor:
    """Rows that a coupling learns from: all rows, or the pilot of endless ones, in the units of their batches.

    Weighted rows are repeated to at least 10,000 rows of equal weight.
    """
    if isinstance(x, EndlessRows):
        return x.change(here(x.pilot))
    if weights is None:
        return in_memory(x)
    return in_memory(x)[even_rows(weights, max(len(x), 10_000), seeded(0, "weighted rows of a coupling"))]


def draw_pairs(
    x0: Tensor, x1: Tensor, n: int, coupling: Any, size: int, generator: Generator, **known: Any
) -> tuple[Tensor, Tensor, Condition]:
    """``n`` pairs as training draws them, in batches of ``size``; with the conditions of the ends.

    Args:
        x0: Samples of rho0.
        x1: Samples of rho1.
        n: Number of pairs.
        coupling: As in :class:`PairBatches`.
        size: As in :class:`PairBatches`.
        generator: Source of the draws.
        known: ``cond``, ``cond0`` and ``who`` of :class:`PairBatches`.
    """
    batches = PairBatches(x0, x1, size, coupling, UniformTimes(), **known)
    drawn = [batches(step, generator, 0, 1) for step in range(-(-n // size))]
    first, second = (torch.cat([batch[end] for batch in drawn])[:n] for end in ("x0", "x1"))
    return (
        first,
        second,
        take_rows(join_rows([batch.get("cond1", batch["cond"]) for batch in drawn]), slice(0, n)),
    )


class TimedNet(TakesOneTime, nn.Module):
    """Trained and saved modules: the network ``net``, and the time sampler ``times`` if it learns too."""

    def __init__(self, net: nn.Module, times: Any) -> None:
        super().__init__()
        self.net = net
        if isinstance(times, nn.Module):
            self.times = times

    def forward(self, x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
        """Return the network's output."""
        output: Tensor = ask(self.net, x, t, cond)
        return output


class PathLoss:
    """The joint loss of a batch in the form that the training loop calls.

    Args:
        loss: The joint loss.
        times: Told what the losses say of the times.
        drop_condition: Chance of a row to lose its condition, in [0, 1): the network then learns the fields with and
            without it, which is what classifier-free guidance compares.
        penalties: Terms to add, with their weights; they draw their own states and times from the batch's ends.

    Raises:
        InvalidInputError: If the chance is outside its range, or a penalty asks for another quantity.
    """

    def __init__(
        self,
        loss: JointLoss | MaskedLoss,
        times: TimeSampler,
        drop_condition: float = 0.0,
        penalties: Sequence[Penalty] = (),
    ) -> None:
        number("PathLoss", "drop_condition", drop_condition, at_least=0, below=1)
        check_penalties(penalties, loss.heads, "PathLoss")
        self.loss, self.times, self.drop = loss, times, drop_condition
        self.penalties = [penalty for penalty in penalties if penalty.weight > 0]

    def __call__(self, net: Any, batch: dict[str, Any], generator: Generator) -> dict[str, Tensor]:
        """Per-sample losses ``(B,)`` by name; what they say of the times is noted."""
        cond = batch["cond"]
        if self.drop:
            cond = drop_rows(cond, self.drop, generator=generator)
        losses = self.loss(net, x0=batch["x0"], x1=batch["x1"], t=batch["t"], cond=cond, generator=generator)
        self.times.update(batch["t"], torch.stack([loss.detach() for loss in losses.values()]).sum(0))
        weighted = {name: loss * batch["weight"] for name, loss in losses.items()}
        for penalty in self.penalties:
            found = penalty(net, x0=batch["x0"], x1=batch["x1"], cond=cond, generator=generator)
            weighted[penalty.name] = penalty.weight * found
        return weighted


def finished(net: Net, result: FitResult, *, prefix: str = "net.") -> Net:
    """The trained network, frozen, in evaluation mode: with its averaged weights, or as it is if these are the best.

    Args:
        net: What was trained.
        result: Its training, with averages under ``prefix`` + the parameter's name.
        prefix: Where ``net`` was in the trained module.
    """
    if result.ema is not None and result.weights == "last":
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                if prefix + name in result.ema:
                    parameter.copy_(result.ema[prefix + name])
    return net.eval().requires_grad_(False)


@dataclass(frozen=True)
class Learnt:
    """Fields that were learnt, the network behind them, and how the training went."""

    fields: LearnedFields
    net: nn.Module
    result: FitResult


def check_precision(who: str, name: str, x: Rows) -> None:
    """Check that samples have a precision in which a network can be trained.

    Raises:
        InvalidInputError: If they are not float32 or float64: in half precision the squares of gradients vanish.
    """
    if x.dtype not in (torch.float32, torch.float64):
        rule = f"{name} must be float32 or float64, in which the network is then learnt"
        raise invalid(who, rule, str(x.dtype), f"Pass {name}.float().")


def learn_fields(
    path: Path,
    x0: Tensor | None,
    x1: Tensor,
    *,
    heads: Sequence[str],
    net: Any = "auto",
    coupling: Any = None,
    times: TimeSampler | None = None,
    cond: Tensor | None = None,
    cond0: Tensor | None = None,
    drop_condition: float = 0.0,
    precondition: float | None = None,
    penalties: Sequence[Penalty] = (),
    settings: TrainSettings | None = None,
    progress: bool = False,
) -> Learnt:
    """Learn some fields of a path by one network with a head for each.

    Args:
        path: The interpolant.
        x0: Samples of rho0, ``(N0, *D)``; None on a one-sided path, or a mirror.
        x1: Samples of rho1, ``(N1, *D)``.
        heads: Quantities to learn, e.g. ``("velocity", "noise")``; or ``("log_density",)`` alone.
        net: As in :func:`interpolants.nets.build.choose_net`; for a log density, the network inside its potential.
        coupling: How x0 and x1 are paired; independent when None.
        times: Where in time to look; stratified when None.
        cond: What is known of each row of ``x1``.
        cond0: Likewise of ``x0``.
        drop_condition: Chance of a row to be learnt from without its condition; for classifier-free guidance.
        precondition: Spread of the data: then the network is a ``fields.Preconditioned``; for one-sided paths.
        penalties: Terms beside the loss, see ``objectives.Penalty``.
        settings: Settings of the training loop.
        progress: Show a progress bar.

    Returns:
        The fields with averaged weights, the network, and the result of the training.

    Warns:
        SettingWarning: If the errors of these heads grow without bound at an end of the path.
    """
    check_precision("learn_fields", "x1", x1)
    settings = TrainSettings() if settings is None else settings
    times = StratifiedTimes() if times is None else times
    coupling = Independent() if coupling is None else coupling
    network: nn.Module
    if tuple(heads) == ("log_density",):
        network = LogDensity.fitted(path, x0, x1, net=net, cond=cond, seed=settings.seed)
    else:
        network = choose_net(net, tuple(x1.shape[1:]), len(heads), cond, settings.seed, who="learn_fields")
    network = network if isinstance(net, nn.Module) else network.to(x1.dtype)  # whatever torch's default type
    weight = None
    if precondition is not None:
        network = Preconditioned(network, path, heads, precondition)
        weight = network.weight
    batches = PairBatches(
        x0, x1, settings.batch_size, coupling, times, cond=cond, cond0=cond0, who="learn_fields"
    )
    loss = PathLoss(joint_loss(heads, path, weight), times, drop_condition, penalties)
    if not isinstance(network, Preconditioned):
        instead = "Use precondition=, or learn the velocity or mean_rate instead, with the noise where there is one."
        warn_of_growing_errors("learn_fields", path, heads, instead=instead)
    result = fit(TimedNet(network, times), loss, batches, settings, progress=progress)
    network = finished(network, result)
    if len(heads) > 1:
        return Learnt(LearnedFields(path, joint=network, heads=heads), network, result)
    given: dict[str, Any] = {heads[0]: network}
    return Learnt(LearnedFields(path, mean1=x1.mean(0), **given), network, result)
