"""One diffusion for several linked modalities: draw all of them, or any from any others.

Letters: B rows, n modalities, S the known ones, z the state, e(X) its data end, t 0 at the noise and 1 at the data.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from annotated_types import Ge, Interval
from torch import Tensor

from interpolants.apps.multimodal.chosen_units import (
    errors_of,
    tell_of_usual_units,
    unexplained,
    warn_if_linear_is_better,
)
from interpolants.apps.multimodal.linked_answers import check_codes, padded, with_given, with_own
from interpolants.apps.multimodal.linked_training import Heads, LinkedBatches, LinkedLoss
from interpolants.apps.multimodal.modality_roles import (
    ASKED,
    Answered,
    Modalities,
    answered,
    check_all_there,
    is_there,
    modality_roles,
    told,
)
from interpolants.apps.multimodal.shared_space import Modality, SharedSpace, as_images, tokens
from interpolants.foundations.asked import invalid, who
from interpolants.foundations.checks import one_of, positive
from interpolants.foundations.kinds import Answer, Check, Count
from interpolants.foundations.randomness import BLOCK, BlockNoise
from interpolants.framework.capabilities import capability
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.methods.parts.choices import choose_path, choose_times
from interpolants.methods.parts.conditional_flow import ConditionalFlow
from interpolants.methods.parts.validation import followed
from interpolants.nets.build import choose_net, library_net
from interpolants.objectives.times import StratifiedTimes
from interpolants.training.pairs import TimedNet, finished

# Starts over which estimates at t = 0, where the state tells nothing, are averaged.
_STARTS = 8
# Whitening unasked: at most so many numbers, as in a bridge.
_COLUMNS = 256
# Whitening by choice: at most so many numbers.
_MOST_WHITENED = 1024
# Size of blocks of labels beside numbers of size 1; chosen on a part of the training digits.
_EARLY = 3.0


class MultimodalDiffusion(Trained):
    """Learn images, labels and vectors that belong together; draw all of them, or any from any others.

    ::

        model = MultimodalDiffusion(modalities={"image": "rows", "label": "labels"}).fit(image=images, label=labels)
        model.sample(100)                          # {"image": ..., "label": ...}, which belong together
        model.fill(label=[3, 3, 7])["image"]       # images of these labels
        model.expect(image=images)["label"]        # probabilities of the labels

    Every modality has a linear encoder of unit variance into a block of one state z, on a one-sided path from noise to
    ``e(X)``. One network is told z, t and those modalities S that are known, and estimates the blocks of all others:
    squared error, cross-entropy for labels. Known blocks follow their true values. Holding them there without heads
    that are told S is biased: ``told=False`` shows by how much.

    Entries may be missing in any row of the fit: NaN for images and vectors, -1 or None for labels.

    Raises:
        InvalidInputError: If a setting is out of range, or the path has no such base.

    Source: Chen et al. (2024), arXiv:2407.17571. Ours: blocks instead of a sum of encoders, heads that are told what is
    known, missing entries, any one-sided path.
    """

    only_cpu: ClassVar[str] = "rows stay where they were read"
    noun: ClassVar[str] = "model of linked modalities"

    modalities: Modalities = field(default_factory=lambda: {"image": "rows", "label": "labels"})
    """Name -> ``"rows"`` (images ``(N, C, H, W)``, vectors ``(N, D)``) or ``"labels"``."""
    targets: Sequence[str] = ()
    """Modalities that can be drawn; the others are only ever told. All if empty."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Size of the blocks by modality, > 0; a larger block is decided earlier on the way. Unasked 1, and 3 for labels of
    a perceptron, so that images are drawn with their label in view."""
    balance: Mapping[str, float] = field(default_factory=dict)
    """Further factors of the losses by modality, > 0; unasked, each modality counts alike."""
    whiten: Literal[True, False, "auto"] = "auto"
    """Whether units of rows are uncorrelated. ``"auto"`` chooses by held-out rows (``held=``): it trains in both units,
    for twice the time, and keeps those that leave less of the squared error of expected modalities. Without held-out
    rows, units are uncorrelated where a perceptron sees up to 256 numbers, which can be far the worse choice."""
    joint: Annotated[float, Interval(gt=0, le=1)] = 0.5
    """Share of training rows in which nothing is known."""
    told: bool = True
    """Whether heads are told what is known; without it nothing is given but by holding its block."""
    path: Annotated[Any, Check(choose_path)] = "one_sided_linear"
    """A one-sided path with a Gaussian base of one scale."""
    net: Annotated[Any, Check(library_net, "name | table")] = "auto"
    """A network; ``"auto"`` is a U-Net where all images have one grid, else a perceptron."""
    times: Any = "auto"
    """Where in time to learn, as in ``Bridge``."""
    n_steps: Answer[Annotated[int, Ge(2)]] = 40
    """Steps of the sampler."""
    steps = 3000
    batch_size = 128

    def check_settings(self) -> None:
        """Refuse names that are no modality, and make the flow."""
        for table in ("weights", "balance"):
            for name, value in getattr(self, table).items():
                one_of(who(), f"a name in {table}", name, tuple(self.modalities))
                positive(who(), f"{table}[{name!r}]", value)
        self.targets = (self.targets,) if isinstance(self.targets, str) else tuple(self.targets)
        for name in self.targets:
            one_of(who(), "every target", name, tuple(self.modalities))
        if not self.told and self.targets:
            rule = "modalities that are no targets must be told"
            raise invalid(rule, "told=False", "Leave one of them out.")
        self.flow = ConditionalFlow(who=who(), path=self.path, head="denoised", times=self.times)

    def roles(self) -> tuple[Role, ...]:
        """A role for each modality."""
        return modality_roles(self.modalities)

    def fit(self, given: Mapping[str, Any] | None = None, /, **options: Any) -> Self:
        """Learn from modalities that belong together row by row.

        Args:
            given: Rows by modality, in one dict; or pass them by name.
            options: Modalities by name, and what :meth:`interpolants.framework.method.Method.fit` takes. With ``held``,
                units are chosen by these rows (``whiten="auto"``), and ``FitWarning`` is issued if a Gaussian
                of all columns expects a modality of them better. ``FitWarning`` is also issued if ``whiten="auto"``
                has no held-out rows.
        """
        return super().fit(**{**(given or {}), **options})

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """The encoders, then the heads by one gradient loop; with held-out rows, units and a linear rival by these."""
        check_all_there(who(), data, self.modalities)
        whiten = None if self.whiten == "auto" else bool(self.whiten)
        state = self._learnt(data, run, "match", whiten)
        usual = {name: x[0].numel() <= _COLUMNS for name, x in data.items() if self._may_whiten(x)}
        whole_rows = bool(run.held) and all(name in run.held for name in self.modalities)
        if not (self.told and len(self.modalities) > 1):
            return state  # no modality is expected of others
        if not whole_rows:
            if self.whiten == "auto" and usual:
                tell_of_usual_units([name for name, small in usual.items() if small])
            return state
        held = {name: run.held[name] for name in self.modalities}
        errors = self._errors(state, held)
        if self.whiten == "auto" and usual:
            second = self._learnt(data, run, "match in other units", not any(usual.values()))
            theirs = self._errors(second, held)
            if unexplained(theirs) < unexplained(errors):
                state, errors = second, theirs
        warn_if_linear_is_better(errors, data, held, state["whole"].parts, self.modalities)
        return state

    def _learnt(self, data: dict[str, Any], run: Run, stage: str, whiten: bool | None) -> dict[str, Any]:
        """Encoders and heads in some units; None for those that the rule for unasked ones gives."""
        parts = {name: self._encoder(name, data[name], whiten) for name in self.modalities}
        whole_space = SharedSpace.of(parts, as_images=as_images(self.net), who=who())
        space = whole_space
        if self.targets:  # those that are drawn, with the grid of the whole
            drawn = {name: part for name, part in parts.items() if name in self.targets}
            space = SharedSpace(parts=drawn, grid=whole_space.grid)
        times = choose_times(who(), self.times, self.path)
        batches = self._batches(whole_space, data, self.batch_size, times)
        if not self.told and not bool(batches.there.all()):
            rule = "without told nothing may be missing, as heads could not know it"
            raise invalid(rule, f"{int((~batches.there).sum())} missing entries", "Take told=True.")
        cond = None
        if self.told and len(whole_space.parts) > 1:
            few = {name: u[:1] for name, u in batches.units.items()}
            nothing = torch.zeros(1, len(whole_space.parts), dtype=torch.bool)
            cond = tokens(whole_space, few, nothing, nothing)
        inner = choose_net(self.net, space.shape, 1, cond, self.seed, who=who()).float()
        net = self.flow.wrap(inner, space.rms(space.state(batches.units)))

        def loss(timed: Any) -> LinkedLoss:
            return LinkedLoss(space, whole_space, self.path, timed, told=self.told, balance=self.balance)

        even = StratifiedTimes()
        unseen = (lambda size: self._batches(whole_space, run.held, size, even)) if run.held else None
        settings, options = followed(run, self.training(), loss(even), unseen, images=bool(space.grid))
        result = run.train(stage, TimedNet(net, times), loss(times), batches, settings, **options)
        return {"net": finished(net, result), "space": space, "whole": whole_space}

    def _errors(self, state: Mapping[str, Any], held: Mapping[str, Tensor]) -> dict[str, Any]:
        """Errors of what a state expects of held-out rows; see :func:`errors_of`."""
        probe = copy.copy(self)
        probe.state = dict(state)
        parts, drawn = state["whole"].parts, state["space"].parts

        def expect(known: dict[str, Tensor]) -> dict[str, Tensor]:
            rows = len(next(iter(known.values())))
            means = probe._means(probe._tokens(known, rows), rows, 0, 0)
            return {name: part.mean(means[name]) for name, part in drawn.items()}

        return errors_of(expect, held, parts, list(drawn))

    def _is_small(self, value: Tensor) -> bool:
        """Whether a perceptron sees the rows, or they are vectors."""
        return not as_images(self.net) or value.ndim == 2

    def _may_whiten(self, value: Tensor) -> bool:
        """Whether rows may be in whitened units unasked: such rows, of not too many numbers."""
        return self._is_small(value) and value.is_floating_point() and value[0].numel() <= _MOST_WHITENED

    def _encoder(self, name: str, value: Tensor, whiten: bool | None) -> Modality:
        """The encoder of a modality, whitened if asked for, or by the rule: small ones of a perceptron."""
        if whiten is None:
            whiten = self._is_small(value) and value[0].numel() <= _COLUMNS
        elif self.whiten == "auto":
            whiten = whiten and self._may_whiten(value)
        usual = _EARLY if not as_images(self.net) and self.modalities[name] == "labels" else 1.0
        return Modality.fit(name, value, float(self.weights.get(name, usual)), who(), whiten=whiten)

    def _batches(self, space: SharedSpace, data: Mapping[str, Any], size: int, times: Any) -> LinkedBatches:
        """Batches of the rows in which a target is there."""
        there = torch.stack([is_there(data[name]) for name in space.parts], 1)
        places = [i for i, name in enumerate(space.parts) if not self.targets or name in self.targets]
        kept = there[:, places].any(1).nonzero()[:, 0]
        labels = {name: data[name][kept] for name, part in space.parts.items() if part.is_label}
        for name, codes in labels.items():
            check_codes(who(), name, codes, space.parts[name])
        units = {name: u[kept] for name, u in space.units(data).items()}
        joint = self.joint if self.told else 1.0
        return LinkedBatches(units, there[kept], labels, targets=places, joint=joint, size=size, times=times)

    # --- capabilities

    @capability()
    def sample(
        self,
        /,
        n: Count,
        *,
        method: str = "midpoint",
        seed: int = 0,
        first_index: int = 0,
        **settings: Any,
    ) -> dict[str, Any]:
        """Draw all modalities together.

        Args:
            n: Number of rows.
            method: An ODE solver.
            seed: Seed of the noise; row i is one function of (seed, i).
            first_index: Index of the first row in a larger job.
            settings: Settings of answers, for this call.

        Returns:
            Rows by modality, in the containers of the fit.
        """
        drawn = self._drawn(n, None, method, seed, first_index)
        return answered(self._values(drawn), self.given)

    @capability(like=ASKED, takes=("n_steps",))
    def fill(
        self,
        /,
        *,
        method: str = "midpoint",
        seed: int = 0,
        first_index: int = 0,
        **roles: Any,
    ) -> dict[str, Any]:
        """Draw what is not given, row by row, from what is.

        Args:
            method: An ODE solver.
            seed: Seed of the noise.
            first_index: Index of the first row in a larger job.
            roles: Modalities by name, which may be missing in some rows.
            settings: Settings of answers, for this call.

        Returns:
            Rows by modality; what was given comes back as it is.

        Raises:
            InvalidInputError: If nothing is given, or a label is none of the fit.
        """
        given = self._checked(roles)
        rows = len(next(iter(given.values())))
        drawn = self._values(self._drawn(rows, self._tokens(given, rows), method, seed, first_index))
        return answered(with_given(drawn, given, self.state["space"]), self.given)

    @capability(like=ASKED)
    def expect(self, /, *, seed: int = 0, first_index: int = 0, **roles: Any) -> dict[str, Any]:
        """The mean of each modality given what is known, and the probabilities of labels; no diffusion is run.

        Args:
            seed: Seed of the states, which tell nothing; their effect is averaged.
            first_index: Index of the first row in a larger job.
            roles: Modalities by name, which may be missing in some rows.

        Returns:
            Means by modality, of labels ``(B, k)``, a column for each label of the fit.
        """
        given = self._checked(roles)
        rows = len(next(iter(given.values())))
        means = self._means(self._tokens(given, rows), rows, seed, first_index)
        parts = self.state["space"].parts
        found = {name: part.mean(means[name]) for name, part in parts.items()}
        found = {name: with_own(mean, given.get(name), parts[name]) for name, mean in found.items()}
        measured = {name: x for name, x in found.items() if not parts[name].is_label}
        return Answered({**{name: x.numpy() for name, x in found.items()}, **answered(measured, self.given)})

    def cannot(self, verb: str) -> str:
        """A model that was taught one modality has nothing to be told; one of some targets draws no others."""
        if verb in ("fill", "expect") and len(self.modalities) == 1:
            return "it has one modality, and no other to be given."
        if verb == "sample" and self.targets and set(self.targets) != set(self.modalities):
            return "it draws some modalities given others; take fill."
        if verb == "expect" and not self.told:
            return "its heads are not told what is known (told=False)."
        return ""

    def _checked(self, roles: Mapping[str, Any]) -> dict[str, Tensor]:
        given = told(who(), roles, self.modalities)
        for name, value in given.items():
            part = self.state["whole"].parts[name]
            if part.is_label:
                check_codes(who(), name, value, part)
        return given

    def _tokens(self, given: Mapping[str, Tensor], rows: int) -> Tensor:
        """What is known, as the heads are told it; what is missing in a row is to be drawn."""
        space: SharedSpace = self.state["whole"]
        none = torch.zeros(rows, dtype=torch.bool)
        known = torch.stack([is_there(given[name]) if name in given else none for name in space.parts], 1)
        own = space.units(given)
        units = {
            name: own.get(name, torch.zeros(rows, *part.shape, dtype=torch.float32))
            for name, part in space.parts.items()
        }
        return tokens(space, units, known, torch.zeros_like(known))

    def heads(self) -> Heads:
        """The heads as a field of the mean data end."""
        state = self.fitted_state("heads")
        return Heads(state["net"], state["space"], state["whole"], told=self.told)

    def _drawn(self, n: int, cond: Tensor | None, method: str, seed: int, first: int) -> Tensor:
        """States ``(n, *D)`` at t = 1."""
        parts = self.state["whole"].parts
        if cond is None and len(parts) > 1:
            cond = self._tokens({}, n)  # nothing is known
        # Of a single image or vector the network itself, so that it has the bits of a bridge.
        alone = len(parts) == 1 and not next(iter(parts.values())).is_label
        mean_end: Any = self.state["net"] if alone else self.heads()
        return self.flow.drawn(
            self.flow.fields(mean_end), self.state["space"].shape, n, seed=seed, first=first, cond=cond,
            method=method, n_steps=self.n_steps,
        ).x  # fmt: skip

    def _values(self, z: Tensor) -> dict[str, Tensor]:
        space: SharedSpace = self.state["space"]
        blocks = space.blocks(z)
        return {name: part.value(space.of_block(name, blocks[name])) for name, part in space.parts.items()}

    def _means(self, cond: Tensor, rows: int, seed: int, first: int) -> dict[str, Tensor]:
        """``E[u | S]`` by modality, in blocks of 64 rows so that no row feels the others."""
        space: SharedSpace = self.state["space"]
        noise = BlockNoise(seed, ("states without data",), first=first, count=rows, shape=space.shape)
        heads, zero = self.heads(), torch.zeros((), dtype=torch.float32)
        total = zero.expand(rows, *space.shape)
        for _ in range(_STARTS):
            start = self.path.base.color(noise.normal())
            parts = [heads(*padded(start, zero, cond, k))[: rows - k] for k in range(0, rows, BLOCK)]
            total = total + torch.cat(parts)
        return {name: space.of_block(name, block) for name, block in space.blocks(total / _STARTS).items()}
