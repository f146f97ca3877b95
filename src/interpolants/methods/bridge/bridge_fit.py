"""The fit of a bridge: its settings, what it reads, and how its fields are matched."""

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from interpolants.couplings.independent import Independent
from interpolants.couplings.paired import Paired
from interpolants.fields.error_growth import warn_of_growing_errors
from interpolants.fields.learned import LearnedFields
from interpolants.fields.log_density import LogDensity
from interpolants.fields.preconditioned import Preconditioned, can_precondition, check_preconditioned
from interpolants.foundations.calls import check_takes_condition
from interpolants.foundations.checks import is_among, number, one_of
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.row_access import Rows, each, in_memory, root_mean_square
from interpolants.foundations.tell import SettingWarning, tell
from interpolants.framework.frames import Frame, constant_columns
from interpolants.framework.role import Role
from interpolants.framework.settings import settings_of
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.methods.bridge.auto_eps import EpsChoice
from interpolants.methods.bridge.held_out import AUTO, Ends, set_aside
from interpolants.methods.bridge.noise_level import known_choice
from interpolants.methods.bridge.pairs_by_data import pairs_by_data
from interpolants.methods.bridge.units import (
    UNITS,
    gaussian_part,
    new_frame,
    preconditions,
    starts_from_gaussians,
)
from interpolants.methods.parts import choices
from interpolants.methods.parts.column_maps import by_number, choose_transform
from interpolants.methods.parts.conditions import units_of
from interpolants.methods.parts.learning import parted_draws
from interpolants.methods.parts.start_points import Pool
from interpolants.methods.parts.validation import followed
from interpolants.nets.build import choose_net
from interpolants.nets.scaled_condition import ScaledCondition
from interpolants.objectives.joint import JointLoss, joint_loss
from interpolants.objectives.times import StratifiedTimes, TimeSampler
from interpolants.paths.custom import General
from interpolants.paths.fitted import UnfittedPath
from interpolants.paths.path import Path
from interpolants.training.instance_noise import InstanceNoise
from interpolants.training.pairs import PairBatches, PathLoss, TimedNet, finished

# Rounding of a condition, in standard deviations, that is refused.
_ROUNDED = 0.01


class BridgeFit(Trained):
    """Settings and fit of :class:`interpolants.Bridge`, which documents them."""

    noun: ClassVar[str] = "bridge"
    former: ClassVar[Mapping[str, str]] = {
        "learn": "It is called heads now.",
        "normaliser": "The units are in state['frame'].",
        "settings": "Settings of the training are settings of the bridge: bridge.steps, bridge.lr, ...",
        "result": "How the training went is in history and about.",
    }

    path: Any = field(default=AUTO, kw_only=False)
    coupling: Any = AUTO
    net: Any = "auto"
    heads: Any = "auto"
    times: Any = "auto"
    aggregate: Any = None
    standardize: bool | str = "auto"
    transform: Any = None
    drop_condition: float = 0.0
    held_out: float | str = "auto"
    precondition: bool | str = "auto"
    perturb: float | InstanceNoise = 0.0
    penalties: Sequence[Any] = ()
    leg: Mapping[str, Any] | None = None

    def check_settings(self) -> None:
        """Turn names into members, and refuse settings."""
        number("Bridge", "drop_condition", self.drop_condition, at_least=0, below=1)
        if not is_among(self.held_out, (AUTO,)):
            number("Bridge", "held_out", self.held_out, at_least=0, at_most=0.5, remedy="0.1 is usual.")
        one_of("Bridge", "standardize", self.standardize, UNITS)
        one_of("Bridge", "precondition", self.precondition, (True, False, AUTO))
        self.transform = choose_transform("Bridge", self.transform)
        self.path = choices.path_for_data("Bridge", "linear" if is_among(self.path, (AUTO,)) else self.path)
        now = self.first_path
        self.heads = choices.choose_heads("Bridge", self.heads, now)
        open_pairs = is_among(self.coupling, (AUTO,))
        self.coupling = Independent() if open_pairs else choices.choose_coupling("Bridge", self.coupling)
        choices.choose_times("Bridge", self.times, now)
        choices.choose_aggregate("Bridge", self.aggregate, now)
        self.perturb = (
            self.perturb if isinstance(self.perturb, InstanceNoise) else InstanceNoise(self.perturb)
        )
        one = isinstance(self.penalties, str | Mapping)
        self.penalties = (self.penalties,) if one else tuple(self.penalties)
        choices.choose_penalties("Bridge", self.penalties, now, self.heads)
        joint_loss(self.heads, now)  # refuses what the path does not determine
        if self.precondition is True:
            check_preconditioned(now, self.heads)
        if self.leg is not None:
            self.leg_template(self.leg)

    @property
    def first_path(self) -> Path:
        """The path, or what stands for it before there are data to fit it to."""
        found: Path = self.path.before if isinstance(self.path, UnfittedPath) else self.path
        return found

    def roles(self) -> tuple[Role, ...]:
        """Samples of both ends, and what is known of their rows."""
        paired = isinstance(self.coupling, Paired)
        path, axis = self.first_path, "x1" if paired else "x0"
        start = Role(
            name="x0", axis=axis, like="x1", about="samples at t = 0", optional=path.is_static, streams=True
        )
        x0 = () if path.is_one_sided else (start,)
        x1 = Role(name="x1", axis="x1", about="samples at t = 1", streams=True)
        known = Role(
            name="cond", kind="condition", axis="x1", optional=True, about="condition of each row of x1"
        )
        known0 = Role(
            name="cond0", kind="condition", axis=axis, optional=True, about="what is known of each row of x0"
        )
        return (*x0, x1, known, *((known0,) if x0 else ()))

    def fit(
        self, x0: Any = None, x1: Any = None, *, cond: Any = None, cond0: Any = None, **options: Any
    ) -> Self:
        """Learn the bridge from samples of the two distributions.

        Args:
            x0: Samples of rho0; left out where the path has a Gaussian base (or is a mirror).
            x1: Samples of rho1. Of either end: an array; a memory-mapped array, a Zarr array or the path of a .npy,
                .zarr or .parquet, whose rows are read as they are needed; or what draws rows, afresh for every step:
                a function ``draw(n, generator)``, a distribution, an ``IterableDataset``.
            cond: What is known of each row of ``x1``: labels ``(N,)``, vectors ``(N, C)`` or fields ``(N, C, *D)``;
                several of these in a dict, or a table with columns of words (the network sees one vector or field,
                with a column of zeros and ones for each label). A data set of (sample, label) items that is ``x1`` may
                be passed here too: its labels are read.
            cond0: Likewise for ``x0``, for couplings. Those that pair within labels draw starts by the labels of x1:
                where labels are not equally frequent at both ends, those of x1 count. Of numbers, as many as in
                ``cond``, ``"minibatch_ot"`` and ``"sinkhorn"`` take ``|c0 - c1|^2`` into the cost.
            options: ``steps``, ``batch_size`` for this fit alone, and the options of
                :meth:`interpolants.framework.method.Method.fit_roles`.
        """
        if x0 is not None and self.first_path.is_one_sided:
            rule, remedy = (
                "a one-sided path draws x0 from its own Gaussian base",
                "Leave x0 out, or take path='linear'.",
            )
            raise invalid(
                "Bridge.fit", rule, f"samples, on the path {type(self.first_path).__name__}", remedy
            )
        given = {"x0": x0, "x1": x1, "cond": cond, "cond0": cond0}
        options = {"progress": True, **options}
        return super().fit(**{name: value for name, value in given.items() if value is not None}, **options)

    def answers_without(self, role: str) -> bool:
        """With ``drop_condition`` it knows the fields without a condition too; ``cond0`` is for pairing alone."""
        return role == "cond0" or self.drop_condition > 0

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Match the fields, then learn the leg if it was asked for."""
        data, endless = parted_draws(data)
        choices.warn_about_loss_of_detail("Bridge", data["x1"], "x1")
        self._warn_of_idle_coupling()
        self._warn_of_unused_labels(data)
        _check_single("Bridge.fit", data.get("cond"))
        whole_ends = Ends(data.get("x0"), data["x1"], data.get("cond"), data.get("cond0"))
        paired, given = isinstance(self.coupling, Paired), run.held
        ends, away = set_aside(whole_ends, 0 if given else self.held_out, self.seed, paired=paired)
        if given:
            away = Ends(given.get("x0"), given["x1"], given.get("cond"), given.get("cond0"))
        gaussian = starts_from_gaussians(self, ends)
        ends = read_whole(ends) if gaussian else ends
        frame = new_frame(self, ends)
        ends, away = encoded(ends, frame), None if away is None else encoded(away, frame)
        path: Path = self.path.fit(in_memory(ends.x1)) if isinstance(self.path, UnfittedPath) else self.path
        if isinstance(path, General) and ends.x0 is not None:
            rows = min(len(ends.x0), len(ends.x1), 64)
            path.check_ends(ends.x0[:rows], ends.x1[:rows])
        fresh = {name: rows.in_units(lambda x: frame.encode(x).float()) for name, rows in endless.items()}
        path, coupling = (path, self.coupling) if gaussian else pairs_by_data(self, path, ends)
        net = self._match(path, coupling, ends, away, run, gaussian=gaussian, fresh=fresh)
        pool0 = None if ends.x0 is None else Pool.of(ends.x0, ends.cond0, self.seed)
        density0 = run.densities.get("x0")
        leg = (
            None
            if self.leg is None or pool0 is None
            else run.fit("leg", self._leg(), x1=frame.decode(pool0.x))
        )
        pools = {"pool0": pool0, "pool1": Pool.of(ends.x1, ends.cond, self.seed), "held": away}
        chosen = None if coupling is self.coupling else coupling
        rest = {"density0": density0, "leg": leg, "eps_choice": None, "coupling": chosen}
        return {"net": net, "path": path, "frame": frame, **pools, **rest}

    def _warn_of_idle_coupling(self) -> None:
        """On a one-sided path x0 is drawn with each x1, and nothing is paired."""
        if self.first_path.base is not None and not isinstance(self.coupling, Independent):
            words = f"Bridge.fit: {type(self.coupling).__name__} has nothing to pair on a one-sided path"
            remedy = "Leave coupling out, or pass x0=torch.randn_like(x1) with path='linear'"
            tell(SettingWarning, f"{words}, where x0 is drawn with each x1. {remedy}.")

    def _warn_of_unused_labels(self, data: Mapping[str, Any]) -> None:
        """Only couplings that pair within labels, or by conditions, read those of x0."""
        if data.get("cond0") is not None and isinstance(self.coupling, Independent):
            words = "Bridge.fit: cond0 has no effect, for the coupling is independent: rows are paired across labels"
            tell(SettingWarning, f"{words}. Take coupling='minibatch_ot' to pair within them.")

    def _match(
        self,
        path: Path,
        coupling: Any,
        ends: Ends,
        away: Ends | None,
        run: Run,
        *,
        gaussian: bool,
        fresh: Mapping[str, Any],
    ) -> nn.Module:
        """The network that has learnt the fields; from ``fresh`` rows at the ends that have some."""
        net, loss = self._new_net(path, ends)
        net = gaussian_part(net, self, path, ends) if gaussian else net
        times = choices.choose_times("Bridge", self.times, path)
        drop = self.drop_condition if ends.cond is not None else 0.0
        penalties = choices.choose_penalties("Bridge", self.penalties, path, self.heads)
        trained = PathLoss(loss, times, drop, penalties)
        batches = self._batches(replace(ends, **fresh), self.batch_size, coupling, times)
        settings = self.training()
        rule = choices.choose_aggregate("Bridge", self.aggregate, path)
        options: dict[str, Any] = {} if rule is None else {"aggregate": rule}
        # Judged at the times that are trained on; those that learn from losses would learn from these too.
        even, unseen = StratifiedTimes() if isinstance(times, nn.Module) else times, away
        drawn = None if unseen is None else lambda size: self._batches(unseen, size, coupling, even)
        coupled = not isinstance(coupling, Independent | Paired)
        how: dict[str, Any] = {"images": ends.x1.ndim > 2, "as_trained": coupled}
        settings, more = followed(run, settings, PathLoss(loss, even), drawn, **how)
        options |= more
        return finished(net, run.train("match", TimedNet(net, times), trained, batches, settings, **options))

    def _batches(self, ends: Ends, size: int, coupling: Any, times: TimeSampler) -> PairBatches:
        known: dict[str, Any] = {"cond": ends.cond, "cond0": ends.cond0, "perturb": self.perturb}
        return PairBatches(ends.x0, ends.x1, size, coupling, times, who="Bridge.fit", **known)

    def _new_net(self, path: Path, ends: Ends) -> tuple[nn.Module, JointLoss]:
        """The network with its initial weights, as the fields use it, and the loss that suits it."""
        own = isinstance(self.net, nn.Module)
        if own:
            check_takes_condition("Bridge", self.net)
        if self.heads == ("log_density",):
            known = read_whole(ends)
            net: nn.Module = LogDensity.fitted(
                path, known.x0, known.x1, net=self.net, cond=known.cond, seed=self.seed
            )
        else:
            net = choose_net(self.net, tuple(ends.x1.shape[1:]), len(self.heads), ends.cond, self.seed)
            net = net if own else self._told_in_units(net, ends.cond)
        net = net if own else net.float()  # the ends are float32 here, whatever torch's default type
        if not preconditions(self, path, ends.x1):
            instead = _stable_instead(path, self.heads)
            warn_of_growing_errors("Bridge.fit", path, self.heads, instead=instead)
            return net, joint_loss(self.heads, path)
        size = root_mean_square(ends.x1)
        if size == 0:
            remedy = "There is nothing to learn: every sample would be this row."
            raise invalid("Bridge.fit", "rows of x1 must differ", "the same row everywhere", remedy)
        wrapped = Preconditioned(net, path, self.heads, size)
        return wrapped, joint_loss(self.heads, path, wrapped.weight)

    def _told_in_units(self, net: nn.Module, cond: Tensor | None) -> nn.Module:
        """The network as it takes vectors and fields of a condition in data units."""
        if cond is None or not cond.is_floating_point() or self.standardize is False:
            return net
        return ScaledCondition(net, *units_of(cond))

    # --- what was learnt

    @property
    def fields(self) -> LearnedFields:
        """The learnt fields, in the network's (standardised) units.

        Raises:
            InvalidInputError: If the bridge is not fitted.
        """
        net, path = self.fitted_state("fields")["net"], self.state["path"]
        if len(self.heads) > 1:
            return LearnedFields(path, joint=net, heads=self.heads)
        given: dict[str, Any] = {self.heads[0]: net}
        return LearnedFields(path, mean1=self.state["pool1"].x.mean(0), **given)

    @property
    def network(self) -> nn.Module:
        """The trained network, as the fields call it."""
        found: nn.Module = self.fitted_state("network")["net"]
        return found

    @property
    def fitted_path(self) -> Path:
        """The path, fitted to the data where it is one that is."""
        found: Path = self.fitted_state("fitted_path")["path"]
        return found

    @property
    def frame(self) -> Frame:
        """The map from data units to those of the network, which has no constant columns."""
        found: Frame = self.fitted_state("frame")["frame"]
        return found

    @property
    def pairing(self) -> Any:
        """How x0 and x1 were paired while training: as was asked for, or as the data had it."""
        found = self.state.get("coupling") if self.is_fitted else None
        return self.coupling if found is None else found

    @property
    def field_shape(self) -> tuple[int, ...]:
        """Event shape of the fields: that of the data, without constant columns."""
        pool: Pool = self.fitted_state("field_shape")["pool1"]
        return tuple(pool.x.shape[1:])

    @property
    def shape(self) -> tuple[int, ...]:
        """Event shape; empty before ``fit``."""
        return self.shapes.get("x1", ())

    def set_aside(self) -> dict[str, int]:
        """Rows of each end that were held out: the best weights are chosen by them."""
        held = self.held_out_rows
        ends = {} if held is None else {"x0": held.x0, "x1": held.x1}
        return {role: len(rows) for role, rows in ends.items() if rows is not None}

    @property
    def held_out_rows(self) -> Ends | None:
        """The rows that training did not see, in the network's units, if any were set aside."""
        found: Ends | None = self.fitted_state("held_out_rows")["held"]
        return found

    @property
    def eps_choice(self) -> EpsChoice | None:
        """How the noise level was chosen, by :meth:`choose_eps` or for ``eps="auto"``; None before."""
        state = self.fitted_state("eps_choice")
        return state["eps_choice"] or known_choice(state["net"])

    @property
    def classes(self) -> int:
        """Number of labels the bridge was conditioned on; 0 for none, or for conditions that are no labels."""
        given = self.given.get("cond")
        return len(given.columns) if given is not None and given.container == "labels" else 0

    @property
    def is_conditional(self) -> bool:
        """Whether it was fitted with a condition."""
        return "cond" in self.given

    def _leg(self) -> Any:
        """The leg for rows without names, which has the transforms of this bridge unless it has its own."""
        transform = by_number("Bridge.fit", self.transform, self.columns("x1"))
        return self.leg_template({"transform": transform, **(self.leg or {})})

    def leg_template(self, settings: Mapping[str, Any]) -> Any:
        """An unfitted Gaussian -> rho0 bridge with this one's training, changed by some settings."""
        known = [field.name for field in settings_of(type(self)) if field.name not in ("path", "leg")]
        rule = "leg must be a table of settings of the bridge from a Gaussian to rho0"
        if not isinstance(settings, Mapping):
            raise invalid("Bridge", rule, repr(settings), "E.g. leg={'steps': 1000}, or {} for none.")
        if unknown := [name for name in settings if name not in known]:
            fixed = unknown[0] in ("path", "leg")
            remedy = (
                "Its path is 'one_sided_linear'; leave it out." if fixed else nearest(str(unknown[0]), known)
            )
            raise invalid("Bridge", rule, repr(unknown[0]), remedy)
        net = self.net if not isinstance(self.net, nn.Module) else "auto"
        return type(self)(path="one_sided_linear", **{"net": net, **self.training_params(), **settings})


def encoded(ends: Ends, frame: Frame) -> Ends:
    """Ends in the network's units and precision."""

    def changed(x: Rows) -> Rows:
        return None if x is None else each(x, lambda rows: frame.encode(rows).float())

    return Ends(changed(ends.x0), changed(ends.x1), as_float32(ends.cond), as_float32(ends.cond0))


def read_whole(ends: Ends) -> Ends:
    """Ends in memory: for what learns from all rows at once."""
    x0 = None if ends.x0 is None else in_memory(ends.x0)
    return replace(ends, x0=x0, x1=in_memory(ends.x1))


def _stable_instead(path: Path, heads: Sequence[str]) -> str:
    """Remedy for quantities whose errors grow: those that are learnt by default, from which the others follow."""
    take = f"heads={list(choices.choose_heads('Bridge', 'auto', path))}"
    return f"Use precondition=True or {take}." if can_precondition(path, heads) else f"Use {take}."


def as_float32(cond: Tensor | None) -> Tensor | None:
    """A condition in the network's precision; labels as they are."""
    return cond.float() if cond is not None and cond.is_floating_point() else cond


def _check_single(who: str, cond: Tensor | None) -> None:
    """Refuse conditions whose differences single precision rounds away, such as times since 1970 in seconds."""
    if cond is None or cond.dtype != torch.float64:
        return
    columns = cond.movedim(1, -1).flatten(0, -2)
    lost = (columns.float().double() - columns).abs().amax(0) > _ROUNDED * columns.std(0)
    if bool((lost & ~constant_columns(columns)).any()):
        at = (lost & ~constant_columns(columns)).nonzero().flatten().tolist()
        rule = "cond must vary by more than the rounding of single precision"
        remedy = "Subtract an offset of your own here and in every request, e.g. the first time."
        raise invalid(who, rule, f"less in columns {at}", remedy)
