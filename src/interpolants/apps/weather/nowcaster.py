"""Nowcasting: an ensemble of the next frames of a radar or of winds from the last ones, with guidance by precision.

Letters: N sequences, P past and K future frames, C variables, H rows, W columns, M members; ``P(x)`` a field given
the past, ``G(x)`` the same field without it, ``w`` the weight of ``P - G``.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from annotated_types import Interval
from torch import Tensor

from interpolants.apps.weather.nets.grid_edges import Edges, edges_of
from interpolants.apps.weather.nowcast_net import PatchedNet, ToldFrames
from interpolants.apps.weather.nowcast_runs import NowcastRuns, WindowRows, motions_of, precision_weight
from interpolants.apps.weather.sequences import (
    Nowcasts,
    SequenceUnits,
    Transform,
    Windows,
    clock_step,
    last_frames,
    maps,
    nowcasts,
    sequences_role,
)
from interpolants.data.gridded import Gridded
from interpolants.fields.protocol import QUANTITIES
from interpolants.foundations.asked import invalid, part, who
from interpolants.foundations.checks import number
from interpolants.foundations.kinds import Answer, Check, Count, Each, NonNegative, OneOf, Real
from interpolants.framework.capabilities import capability, verb
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.methods.parts.choices import choose_path
from interpolants.methods.parts.conditional_flow import ConditionalFlow
from interpolants.metrics.crps import crps_of_cases

verb("uncertainty", "context")
VALIDATED = "validated"
# Strength of the weight of runs that are observed: too weak to change a digit of a result, but at work.
_OBSERVED = 1e-9


def _guidance(who: str, value: Any) -> Any:
    """A number, ``"validated"``, or a table of settings that a precision weight takes."""
    if isinstance(value, Mapping):
        precision_weight(value)
        return value
    return value if isinstance(value, str) and value == VALIDATED else number(who, "guidance", value)


class Nowcaster(Trained):
    """Learn the distribution of the next K frames given the last P, and draw members of it.

    ::

        model = Nowcaster(past=4, future=4).fit(radar)            # xarray (time, y, x), NaN where nothing was seen
        ahead = model.forecast(radar[-4:], members=20)            # ahead.dataset() is an xarray.Dataset
        where = model.uncertainty(radar[-4:])                     # variance U of the estimate: high where unpredictable

    One network learns a quantity of a one-sided path from Gaussian noise to the K frames. It is told the past frames as
    they are and carried along their motion to each future time, and in a share of the training steps nothing, so that
    the field may be guided: ``G + w (P - G)``. With ``w = 1`` this is the conditional model, and for an exact one that
    is best. A weight by precision differs between cells, see :mod:`interpolants.apps.weather.precision_weight`.

    Raises:
        InvalidInputError: If a setting is out of range, or the path has no Gaussian base.

    Source: Chen et al. (2024), arXiv:2405.02384, for guidance by precision. Ours: its window and map, the frames that
    are carried, a linear path.
    """

    only_cpu: ClassVar[str] = "fields stay where they were read"
    noun: ClassVar[str] = "nowcaster"

    past: Count = 4
    """P."""
    future: Count = 4
    """K."""
    guidance: Answer[Annotated[Any, Check(_guidance, 'number | "validated" | table')]] = 1.0
    """w: a number, the same everywhere; ``"validated"`` for the best constant on held-out sequences; or a table of
    ``PrecisionWeight``, such as ``{"strength": 0.5}``."""
    transform: Transform = "none"
    """``"sqrt"`` for amounts of rain, whose many zeros and long tail a root brings nearer."""
    motion: Literal["carried", "none"] = "carried"
    """``"carried"``: past frames are also told where their motion carries them; ``"none"`` for fields that do not move,
    such as monthly means."""
    edges: Edges = "auto"
    """What lies beyond rows and columns, see ``nets.grid_edges.beyond_edges``; ``"auto"`` tells it by the coordinates,
    and takes arrays to end at a border."""
    drop: Annotated[float, Interval(ge=0, lt=1)] = 0.15
    """Share of training rows that are told nothing."""
    path: Annotated[Any, Check(choose_path)] = "one_sided_linear"
    """A one-sided path with a Gaussian base."""
    net: Any = "grid_convolution"
    """A network for fields that takes a field as condition: a name, a table, or an ``nn.Module`` called as
    ``net(x, t, field)``. Its inputs and outputs are of unit variance at every noise level, see
    ``fields.preconditioned``."""
    patch: Count = 2
    """Side of the patches of cells that the network sees as one."""
    head: Annotated[str, OneOf(lambda: QUANTITIES)] = "velocity"
    """Quantity that the network learns."""
    times: Any = "auto"
    """Where in time to learn, as in ``Bridge``."""
    n_steps: Answer[Count] = 40
    """Steps of the sampler."""
    eps: Answer[NonNegative] = 1.0
    """Noise of the sampler; precision is measured along an SDE, so that 0 goes with constant weights."""
    weights: Annotated[tuple[Real, ...], Each("every weight")] = (0.75, 1.0, 1.25, 1.5, 2.0)
    """Constants that ``"validated"`` chooses from, whenever there are held-out sequences; ``()`` for none."""
    cases: Count = 24
    """Held-out windows that the choice is made by."""
    steps = 1500
    batch_size = 16
    lr = 6e-3
    ema = 0.995

    def check_settings(self) -> None:
        """Refuse guidance that noise or network do not allow, and make the flow."""
        if isinstance(self.guidance, Mapping) and self.eps == 0:
            rule = "guidance by precision needs the noise of an SDE, eps > 0"
            raise invalid(rule, self.eps, "Along an ODE the estimate tells no variance.")
        if self.drop == 0 and self.guidance != 1.0:
            raise invalid("guidance needs drop > 0, to know the field without a past", self.drop)
        self.flow = ConditionalFlow(  # to the K frames, by a network of unit inputs and outputs whatever it learns
            who=who(), path=self.path, head=self.head, times=self.times, wrapped=QUANTITIES, mean=True, drop=self.drop
        )  # fmt: skip

    def roles(self) -> tuple[Role, ...]:
        """Sequences of frames."""
        return (sequences_role(),)

    def fit(self, sequences: Any, **options: Any) -> Self:
        """Learn from sequences.

        Args:
            sequences: An ``xarray.Dataset`` or ``DataArray`` with axes of cases and frames, or of times alone; an array
                ``(N, T, H, W)`` or ``(N, T, C, H, W)``; or a NetCDF or Zarr file. NaN where nothing was seen. All
                windows of P + K frames are learnt from.
            options: As in :meth:`interpolants.framework.method.Method.fit`. ``held={"sequences": ...}`` keeps the
                weights with the least loss on these, and chooses the constant of ``guidance="validated"``; take later
                times, or other storms.
        """
        return super().fit(sequences, **options)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """The network by one gradient loop over random windows, then the best constant weight."""
        fields = data["sequences"]
        values, clock, edges = (
            maps(who(), fields),
            clock_step(who(), fields),
            edges_of(fields.grid, self.edges),
        )
        units = SequenceUnits.fit(values, self.transform, who())
        told = ToldFrames(
            past=self.past, future=self.future, variables=values.shape[2], edges=edges,
            carries=self.motion == "carried",
        )  # fmt: skip
        windows = Windows.of(units.encode(values, who()), self.past, self.future, who())
        held = None
        if "sequences" in run.held:
            with part("held"):
                later = units.encode(maps(who(), run.held["sequences"]), who())
                held = Windows.of(later, self.past, self.future, who())
        motions = run.once("motion", lambda source: motions_of(told, windows, held))
        rows = WindowRows(windows, motions["train"], told)
        unseen = None if held is None else WindowRows(held, motions["held"], told)
        shape = (self.future * values.shape[2], *values.shape[-2:])
        inner = PatchedNet(self.net, shape, told.channels, edges, patch=self.patch, seed=self.seed)
        settings, net = self.training(), self.flow.wrap(inner)
        net = self.flow.learnt(run, "frames", net, rows, settings, held=unseen, images=True)
        state = {"net": net, "units": units, "told": told, "clock": clock}
        chosen = run.once("weights", lambda source: self._best_constant(state, held, motions["held"]))
        return {**state, **chosen}

    def _best_constant(
        self, state: Mapping[str, Any], held: Windows | None, motions: Tensor
    ) -> dict[str, Any]:
        """The constant with the least CRPS of eight members on held-out windows, in the method's units."""
        if held is None or self.drop == 0 or not self.weights:
            return {"constant": 1.0, "validation": {}}
        rows = torch.linspace(0, len(held) - 1, min(self.cases, len(held))).round().long()
        before, after = held.some(rows)
        made = NowcastRuns(self.flow, state, before, motions[rows], self.n_steps, self.eps)
        known = after.isfinite().flatten(1)
        y = torch.where(known, torch.nan_to_num(after).flatten(1), 0.0).double()
        found = {}
        for weight in self.weights:
            drawn = torch.stack([made.member(m, 0, 0, weight).x for m in range(8)], 1).flatten(2).double()
            found[str(weight)] = float(
                crps_of_cases(torch.where(known[:, None], drawn, 0.0), y, fair=True).mean()
            )
        return {"constant": float(min(found, key=lambda name: found[name])), "validation": found}

    @capability(reads={"context": "sequences"}, like="context")
    def forecast(
        self,
        /,
        context: Gridded,
        *,
        members: Count = 20,
        seed: int = 0,
        first_index: int = 0,
        **settings: Any,
    ) -> Nowcasts:
        """The next K frames of each case.

        Args:
            context: Sequences of P frames or more, of which the last P are used.
            members: M.
            seed: Seed of the noise; member m of case i is one number of (seed, i, m), however many there are.
            first_index: Index of the first case in a larger job.
            settings: Settings of answers, for this call.

        Returns:
            ``(B, M, K, C, H, W)`` in data units; NaN where none of the past frames has a value.

        Raises:
            InvalidInputError: If there are too few frames, the last one is empty, or the grid is another.
        """
        made, weight = self._runs(context), self.weight(self.state)
        drawn = torch.stack([made.member(m, seed, first_index, weight).x for m in range(members)], 1)
        return nowcasts(made.unseen(self.state["units"].decode(made.frames(drawn))), context)

    @capability(reads={"context": "sequences"}, like="context", takes=("n_steps", "eps"))
    def uncertainty(
        self,
        /,
        context: Gridded,
        *,
        members: Count = 4,
        seed: int = 0,
        first_index: int = 0,
        **settings: Any,
    ) -> Nowcasts:
        """How much the estimate of each cell fluctuated along unguided runs: its inverse is precision.

        One map for each run. The mean over runs tells where the future can be known; the scale is the method's own.
        The last third of the steps, by which a weight is made, tells it of a network that has learnt to take noise
        away to the end; what the estimate moves over a whole run tells it of a lesser one too.

        Args:
            context: As in :meth:`forecast`.
            members: Runs.
            seed: Seed of the noise.
            first_index: Index of the first case in a larger job.
            settings: Settings of answers, for this call.

        Returns:
            Variances ``(B, members, K, C, H, W)`` in squared standard units.

        Raises:
            InvalidInputError: As :meth:`forecast`; or if there is no noise.
        """
        if self.eps == 0:
            raise invalid("it needs the noise of an SDE, eps > 0", 0, "set_params(eps=1.0).")
        made = self._runs(context)
        observed = {"strength": _OBSERVED, "window": 1 - 1 / made.n_steps}  # all steps but the last
        runs = (made.member(m, seed, first_index, observed) for m in range(members))
        found = [run.reports[0]["variance"] for run in runs]
        bare = replace(
            context, grid=replace(context.grid, units=())
        )  # variances have not the unit of the frames
        return nowcasts(made.unseen(made.frames(torch.stack(found, 1)).double()), bare)

    def cannot(self, verb: str) -> str:
        """The estimate is observed by a weight, which asks the field without a past too."""
        return "It needs drop > 0." if verb == "uncertainty" and self.drop == 0 else ""

    def weight(self, state: Mapping[str, Any]) -> Any:
        """What a run takes: a number, or settings of a precision weight.

        Args:
            state: What was learnt, with the constant that validation chose.

        Raises:
            InvalidInputError: If a constant is wanted that was never chosen.
        """
        if self.guidance != VALIDATED:
            return self.guidance
        if not state["validation"]:
            remedy = "Fit with held={'sequences': later ones}; in a recipe: [split] held = 0.1."
            raise invalid("guidance='validated' needs held-out sequences", "none", remedy)
        return state["constant"]

    def _runs(self, context: Gridded) -> NowcastRuns:
        clock_step(who(), context, self.state["clock"])
        before = last_frames(self.state["units"].encode(maps(who(), context), who()), self.past, who())
        motions = self.state["told"].motion(before)
        return NowcastRuns(self.flow, self.state, before, motions, self.n_steps, self.eps)
