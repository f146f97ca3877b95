"""Restore what was degraded: a bridge from the observation to the distribution of all samples that agree with it.

Letters: ``x1`` whole samples; ``x0`` starts made from them by the coupling; the condition is what is known of each.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

import torch
from torch import Generator, Tensor, nn

from interpolants.couplings.data_dependent import DataDependent, Start
from interpolants.couplings.in_painting import InPainting
from interpolants.couplings.pairs import Pairs
from interpolants.couplings.super_resolution import SuperResolution
from interpolants.dynamics.sample import sample
from interpolants.fields.learned import LearnedFields
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Check, Count
from interpolants.foundations.ops import sum_event
from interpolants.foundations.randomness import BLOCK
from interpolants.foundations.randomness import generator as seeded
from interpolants.foundations.trees import MissingCode
from interpolants.foundations.types import Condition
from interpolants.framework.answers import Ensemble
from interpolants.framework.capabilities import capability
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.methods.parts.choices import choose_coupling
from interpolants.methods.parts.columns import warn_about_columns, warn_about_units
from interpolants.methods.parts.conditions import ConditionForm
from interpolants.methods.parts.learning import in_one_precision, learn_net, new_net
from interpolants.paths.envelopes import ZeroEnvelope
from interpolants.paths.linear import Linear

_PATH = Linear(envelope=ZeroEnvelope())


def _data_dependent(who: str, coupling: Any) -> Any:
    """A coupling that makes starts from whole samples, from its id, its table or itself."""
    found = choose_coupling(who, coupling)
    if not isinstance(found, DataDependent | MissingCode):
        remedy = "For example, use 'in_painting', 'super_resolution', or couplings.Degraded(function)."
        raise invalid(who, "the coupling must be data-dependent", type(found).__name__, remedy)
    return found


class Restoration(Trained):
    """Learn to undo a degradation from whole samples alone; restore by the flow, as many draws as wanted.

    ::

        bridge = Restoration(coupling="in_painting").fit(images)
        draws = bridge.restore(observed, draws=5).x               # (n, 5, *D), different where observed is NaN
        fine = Restoration(coupling="super_resolution").fit(images).restore(coarse).x

    The path is linear without latent noise: the noise that makes answers differ is in the start. Known entries of
    in-painting come out as they went in. States are learnt in the units of the data: bring them to about one before
    ``fit``.

    Raises:
        InvalidInputError: If the coupling is not data-dependent, or a setting is unknown or out of range.

    Source: Albergo et al. (2023), arXiv:2310.03725.
    """

    noun: ClassVar[str] = "bridge"
    former: ClassVar[Mapping[str, str]] = {
        "summary": "Use distance_squared(x).",
    }

    coupling: Annotated[Any, Check(_data_dependent)] = "in_painting"
    """``"in_painting"``, ``"super_resolution"``, a table with settings, or a data-dependent coupling."""
    net: Any = "auto"
    """``"auto"``, a card's id or a table; made to take the condition. An ``nn.Module`` is used as it is."""

    def roles(self) -> tuple[Role, ...]:
        """Whole samples, and what is known of them beside the observation."""
        cond = Role(name="cond", kind="condition", axis="x1", optional=True)
        return Role(name="x1", axis="x1", about="whole samples"), cond

    def fit(self, x1: Any = None, *, cond: Any = None, **options: Any) -> Self:
        """Learn from whole samples.

        Args:
            x1: Whole samples ``(N, *D)``.
            cond: What is known of each beside the observation: labels ``(N,)``, vectors ``(N, C)`` or fields.
            options: As in :meth:`interpolants.framework.method.Method.fit`. ``held={"x1": ...}`` keeps the weights with
                the least loss on these samples.
        """
        return super().fit(x1=x1, cond=cond, **options)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """The velocity from starts to whole samples, told what is known."""
        data = in_one_precision("Restoration.fit", data)
        held = in_one_precision("Restoration.fit", dict(run.held)) if run.held else None
        warn_about_units("Restoration.fit", "x1", data["x1"])
        warn_about_columns("Restoration.fit", "x1", data["x1"], self.columns("x1"), density=False)
        own_net = isinstance(self.net, nn.Module)
        x1, form = data["x1"], ConditionForm.of(data.get("cond"), units=not own_net)
        own = self.coupling.net_settings(x1)
        sizes = {"vector": own.get("cond_dim", 0), "field": own.get("cond_channels", 0)}
        net = new_net("Restoration", self.net, x1, form=form, seed=self.seed, **sizes)
        coupling = _Degrading(self.coupling, form)
        settings = self.training()
        # Starts are made from the ends of the pairs: x0 only says that there are some.
        net = learn_net(
            run,
            "velocity",
            _PATH,
            x1,
            x1,
            net=net,
            heads=("velocity",),
            coupling=coupling,
            cond=data.get("cond"),
            settings=settings,
            held=None if held is None else (held["x1"], held["x1"], held.get("cond")),
        )
        return {"net": net, "form": form}

    @property
    def fields(self) -> LearnedFields:
        """The flow from starts to whole samples; its condition holds what is known."""
        return LearnedFields(_PATH, velocity=self.fitted_state("fields")["net"])

    @capability(
        reads={
            "observed": Role(name="observed", gaps=True, like="x1"),
            "known": Role(name="known", kind="known"),
        },
        like="x1",
    )
    def restore(
        self,
        observed: Tensor,
        *,
        known: Tensor | None = None,
        draws: Count = 1,
        seed: int = 0,
        n_steps: int = 100,
        method: str | None = None,
        cond: Tensor | None = None,
    ) -> Ensemble:
        """Samples that agree with observations; row i does not depend on the rows beside it.

        Args:
            observed: With holes, coarse, or degraded, as the coupling makes them, ``(n, ...)``. For in-painting NaN
                where nothing is known; a pixel with a NaN in one channel is unknown in all.
            known: For in-painting instead of NaN: bool, ``(n, 1, *spatial)``, or ``(n, D)`` for vectors.
            draws: Number of answers to each.
            seed: Seed of the noise in the starts.
            n_steps: Steps of the solver.
            method: The solver; see :func:`interpolants.dynamics.sample.sample`.
            cond: One condition for all rows, or one row each.

        Returns:
            Members ``x (n, draws, *D)``.
        """
        observed = observed.to(self.given["x1"].torch_dtype)
        told = self._known(observed, known)
        starts = [self._starts(observed, told, seed, k) for k in range(draws)]
        every = Start(torch.cat([s.x0 for s in starts]), torch.cat([s.field for s in starts]))
        known_of = None if cond is None else cond.repeat(draws, *(1,) * (cond.ndim - 1))
        known_of = condition(self.coupling, self.state["form"], every, known_of)
        made = sample(self.fields, every.x0, cond=known_of, n_steps=n_steps, method=method).x
        if isinstance(self.coupling, InPainting):
            made = torch.where(every.field.bool(), every.x0, made)
        return Ensemble(x=made.reshape(draws, -1, *made.shape[1:]).transpose(0, 1))

    def degrade(self, x: Tensor, *, seed: int = 0) -> Start:
        """Starts of whole samples ``x (n, *D)`` as the training makes them, and what is known of each."""
        coupling: DataDependent = self.coupling
        return coupling.degrade(x, generator=seeded(seed, "degrade"))

    def distance_squared(self, x: Tensor, *, seed: int = 0) -> float:
        """Mean squared way from start to whole sample, ``E|x1 - x0|^2`` in data units squared."""
        return float(sum_event((x - self.degrade(x, seed=seed).x0).square()).mean())

    def likened(self, verb: str, argument: str, options: Mapping[str, Any]) -> str:
        """Observations are in the unit of the samples where something was cut out or averaged alone."""
        same = isinstance(self.coupling, InPainting | SuperResolution)
        return super().likened(verb, argument, options) if same or argument != "observed" else ""

    def _known(self, observed: Tensor, known: Tensor | None) -> Tensor | None:
        """Where in-painting knows something, from the mask or from the gaps."""
        who, gaps = "Restoration.restore", ~torch.isfinite(observed)
        paints = isinstance(self.coupling, InPainting)
        if known is not None and not paints:
            raise invalid(who, "known goes with in-painting", type(self.coupling).__name__)
        if known is None and not bool(gaps.any()) and paints:
            raise invalid(
                who, "observed must be NaN where it is not known", "no NaN", "Or pass known=, a bool mask."
            )
        if known is None and bool(gaps.any()) and not paints:
            raise invalid(who, "observed must be finite", "NaN", "Only in-painting fills gaps.")
        if known is not None or not paints:
            return known
        return ~gaps if observed.ndim == 2 else ~gaps.any(1, keepdim=True)

    def _starts(self, observed: Tensor, known: Tensor | None, seed: int, draw: int) -> Start:
        """Starts of one draw; blocks of 64 rows have a generator each, and always draw 64."""
        parts: list[Start] = []
        for first in range(0, len(observed), BLOCK):
            rows = torch.arange(first, first + BLOCK).clamp_max(len(observed) - 1)
            given = [observed[rows], *([] if known is None else [known[rows]])]
            source = seeded(seed, "restored draw", draw, first // BLOCK)
            parts.append(self.coupling.start(*given, generator=source))
        n = len(observed)
        return Start(torch.cat([p.x0 for p in parts])[:n], torch.cat([p.field for p in parts])[:n])


@dataclass(frozen=True)
class _Degrading:
    """The coupling of the training: each row with a start made from it, told what is known of the row."""

    coupling: DataDependent
    form: ConditionForm

    def pair(
        self,
        x0: Tensor,
        x1: Tensor,
        *,
        generator: Generator | None = None,
        cond0: Any = None,
        cond1: Any = None,
    ) -> Pairs:
        """As :meth:`DataDependent.pair`, with conditions of any kind beside."""
        start, rows = self.coupling.degrade(x1, generator=generator), torch.arange(len(x1))
        told = condition(self.coupling, self.form, start, cond1)
        return Pairs(start.x0, x1, None, told, rows, rows)


def condition(coupling: DataDependent, form: ConditionForm, start: Start, cond: Tensor | None) -> Condition:
    """What the network is told of each row: what is known of the observation, and the condition beside it."""
    if not coupling.condition:
        return None if cond is None else form.in_units(cond)
    if cond is None:
        return start.field
    return form.join(cond, **{"vector" if start.field.ndim == 2 else "field": start.field})
