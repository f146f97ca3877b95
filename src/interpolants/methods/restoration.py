"""Restore what was degraded: a bridge from the observation to the law of all samples that agree with it.

Letters: ``x1`` whole samples; ``x0`` starts made from them by the coupling; the condition is what is known of each.
"""

from typing import Any, Self

import torch
from torch import Tensor, nn

from interpolants.couplings.data_dependent import DataDependent, Start
from interpolants.couplings.in_painting import InPainting
from interpolants.dynamics.sample import sample
from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import sum_event
from interpolants.foundations.randomness import generator as seeded
from interpolants.methods.flow_settings import check_ends, choose_coupling, train_settings
from interpolants.paths.envelopes import ZeroEnvelope
from interpolants.paths.linear import Linear
from interpolants.training.pairs import Learnt, learn_fields

# The cost is measured on the degradations that `transport` makes with the same seed.
_DEGRADE_STREAM = "degrade"


class Restoration:
    """Learn to undo a degradation from whole samples alone; restore by the flow, as many draws as wanted.

    ::

        bridge = Restoration(coupling="in_painting").fit(images)
        draws = bridge.restore(observed, known=mask, draws=5)     # (5, n, *D), different where nothing is known
        fine = Restoration(coupling="super_resolution").fit(images).restore(coarse)

    The path is linear without latent noise: the noise that makes answers differ is in the start. Known entries of
    in-painting come out as they went in.

    Args:
        coupling: ``"in_painting"``, ``"super_resolution"``, a table with settings, or a data-dependent coupling.
        net: ``"auto"``, a card's id or a table; made to take the condition. An ``nn.Module`` is used as it is.
        seed: Seed of weights and training, >= 0.
        train: Settings of the training loop, a table over our defaults or ``TrainSettings``.

    Attributes:
        learnt: Fields, network and training, after ``fit``.

    Raises:
        InvalidInputError: If the coupling is not data-dependent, or a setting is unknown or out of range.

    Source: Albergo et al. (2023), arXiv:2310.03725.
    """

    def __init__(
        self, *, coupling: Any = "in_painting", net: Any = "auto", seed: int = 0, train: Any = None
    ) -> None:
        chosen = choose_coupling(coupling, "Restoration")
        if not isinstance(chosen, DataDependent):
            remedy = "E.g. 'in_painting', 'super_resolution', or couplings.Degraded(function)."
            raise invalid("Restoration", "the coupling must be data-dependent", type(chosen).__name__, remedy)
        self.coupling = chosen
        self.settings = train_settings(train, seed, "Restoration")
        self.seed, self._asked = seed, net
        self.learnt: Learnt | None = None
        self._cost = float("nan")

    def fit(self, x0: Tensor, x1: Tensor | None = None, *, progress: bool = False) -> Self:
        """Learn from whole samples.

        Args:
            x0: Whole samples ``(N, *D)``; not read when ``x1`` is given, for starts are made from their ends.
            x1: Whole samples.
            progress: Show a progress bar.

        Raises:
            InvalidInputError: If the samples are not a finite floating-point tensor that the coupling can degrade.
        """
        whole = x0 if x1 is None else x1
        check_ends("Restoration.fit", None, whole, one_sided=True)
        net = self._asked
        if not isinstance(net, nn.Module):
            table = {"kind": net} if isinstance(net, str) else dict(net)
            net = {**table, **self.coupling.net_settings(whole)}
        self.learnt = learn_fields(
            Linear(envelope=ZeroEnvelope()),
            whole,
            whole,
            heads=("velocity",),
            net=net,
            coupling=self.coupling,
            settings=self.settings,
            progress=progress,
        )
        start = self.coupling.degrade(whole, generator=seeded(self.seed, _DEGRADE_STREAM))
        self._cost = float(sum_event((whole - start.x0).square()).mean())
        return self

    def restore(
        self, observed: Tensor, *, known: Tensor | None = None, draws: int = 1, seed: int = 0, **options: Any
    ) -> Tensor:
        """Samples that agree with observations.

        Args:
            observed: As the coupling's ``start`` takes them: with holes, coarse, or degraded.
            known: Where they are known, for in-painting: bool, ``(n, 1, *spatial)``, or ``(n, D)`` for vectors.
            draws: Number of answers to each.
            seed: Seed of the noise in the starts.
            options: What ``dynamics.sample`` takes: ``n_steps``, ``method``, ``chunk`` ...

        Returns:
            ``(draws, n, *D)``.

        Raises:
            InvalidInputError: If it is not fitted, or the observations do not fit the coupling.
        """
        if isinstance(draws, bool) or not isinstance(draws, int) or draws < 1:
            raise invalid("Restoration.restore", "draws must be an integer >= 1", draws)
        if (known is not None) != isinstance(self.coupling, InPainting):
            rule = "known goes with in-painting, and in-painting with known"
            raise invalid("Restoration.restore", rule, type(self.coupling).__name__)
        made = []
        for draw in range(draws):
            source = seeded(seed, "restored draw", draw)
            coupling: Any = self.coupling
            start = coupling.start(observed, *([] if known is None else [known]), generator=source)
            made.append(self._carry(start, options))
        return torch.stack(made)

    def transport(self, x: Tensor, *, reverse: bool = False, seed: int = 0, **options: Any) -> Tensor:
        """Degrade whole samples and restore them: what a test of the bridge asks for.

        Args:
            x: Whole samples, ``(n, *D)``.
            reverse: Only degrade them: the starts themselves.
            seed: Seed of the degradation.
            options: As in :meth:`restore`.
        """
        start = self.coupling.degrade(x, generator=seeded(seed, _DEGRADE_STREAM))
        return start.x0 if reverse else self._carry(start, options)

    def summary(self) -> dict[str, float]:
        """Loss of the last logged step, and the mean squared length of the way, ``E|x1 - x0|^2``."""
        last = self._fitted().result.history[-1]
        return {"loss": float(last["loss"]), "distance_squared": self._cost}

    def _carry(self, start: Start, options: dict[str, Any]) -> Tensor:
        cond = start.field if self.coupling.condition else None
        made = sample(self._fitted().fields, start.x0, cond=cond, **options).x
        if isinstance(self.coupling, InPainting):
            return torch.where(start.field.bool(), start.x0, made)
        return made

    def _fitted(self) -> Learnt:
        if self.learnt is None:
            raise invalid("Restoration", "it must be fitted", "one that is not", "Call fit(images) first.")
        return self.learnt
