"""How a bridge is set: its settings, what they allow, and what it reads."""

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Interval
from torch import nn

from interpolants.couplings.independent import Independent
from interpolants.couplings.paired import Paired
from interpolants.fields.preconditioned import can_precondition, check_preconditioned
from interpolants.foundations.asked import invalid, who
from interpolants.foundations.checks import is_among
from interpolants.foundations.errors import nearest
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.kinds import Check, Remedy
from interpolants.framework.role import Role
from interpolants.framework.settings import settings_of
from interpolants.framework.trained import Trained
from interpolants.methods.bridge.held_out import AUTO
from interpolants.methods.parts import choices
from interpolants.methods.parts.column_maps import by_number, choose_transform
from interpolants.objectives.joint import joint_loss
from interpolants.paths.fitted import UnfittedPath
from interpolants.paths.path import Path
from interpolants.training.instance_noise import InstanceNoise

WHITEN = "whiten"


def _path(who: str, path: Any) -> Path | UnfittedPath:
    return choices.path_for_data(who, "linear" if is_among(path, (AUTO,)) else path)


def _coupling(who: str, coupling: Any) -> Any:
    return Independent() if is_among(coupling, (AUTO,)) else choices.choose_coupling(who, coupling)


def _noise(who: str, perturb: Any) -> InstanceNoise:
    return perturb if isinstance(perturb, InstanceNoise) else InstanceNoise(perturb)


def _several(who: str, penalties: Any) -> tuple[Any, ...]:
    if not isinstance(penalties, str | Mapping | list | tuple):
        raise invalid("penalties must be a list of tables", penalties)
    return (penalties,) if isinstance(penalties, str | Mapping) else tuple(penalties)


def can_mask(path: Path) -> bool:
    """Return True if each entry of the path may have another time."""
    return (
        can_precondition(path, ("denoised",)) and isinstance(path.base, Gaussian) and path.ends.end_is_exact
    )


class BridgeSettings(Trained):
    """How a bridge is set."""

    noun: ClassVar[str] = "bridge"
    former: ClassVar[Mapping[str, str]] = {
        "learn": "It is called heads now.",
        "normaliser": "The units are in state['frame'].",
        "settings": "Settings of the training are settings of the bridge: bridge.steps, bridge.lr, ...",
        "result": "How the training went is in history and about.",
    }

    path: Annotated[Any, Check(_path)] = field(default=AUTO, kw_only=False)
    """Name of a path, ``{"kind": name, **settings}``, or a ``Path``. One-sided paths generate from a Gaussian. Paths
    that are made from data are fitted to x1 by ``{"kind": name, "fit": {settings}}``. ``"auto"``: ``"linear"``, between
    two sets; its latent term is a tenth where the coupling is ``"auto"`` and pairs."""
    coupling: Annotated[Any, Check(_coupling)] = AUTO
    """How x0 and x1 are paired while training: ``"independent"``, ``"paired"``, ``"minibatch_ot"``, ``"sinkhorn"``, a
    table with settings, or a coupling. ``"auto"``: ``"minibatch_ot"`` between two sets of vectors of up to 64 columns
    with 200 rows a column, without conditions, if path and heads are ``"auto"`` too and SciPy is installed; else
    ``"independent"``. What was taken is ``bridge.pairing``."""
    net: Any = "auto"
    """``"auto"`` (MLP for vectors, U-Net for images), a name, a table with settings, or an ``nn.Module`` called as
    ``net(x, t, cond)``, ``t (B,)``, that returns ``(B, K, *D)`` for K > 1 quantities. It sees states of unit size. A
    plain MLP of your own is slow to learn fine structure from these: give its first layer ``4 * x``."""
    heads: Any = "auto"
    """``"auto"`` or the quantities to learn, e.g. ``("velocity", "noise")``; the others follow from them. On every
    two-sided path ``"velocity"`` or ``"mean_rate"`` with ``"noise"`` or ``"score"`` hold when learnt. Pairs whose
    errors grow without bound at an end of the path, such as ``("endpoint0", "noise")``, warn at ``fit``."""
    times: Any = "auto"
    """``"auto"``, ``"uniform"``, ``"stratified"``, ``"logit_normal"``, ``"importance"`` (drawn where the loss varies
    most, learnt while training), ``"noise"`` (by noise level, on one-sided paths), a table with settings, or a
    ``TimeSampler``."""
    aggregate: Any = None
    """How losses of several intervals of time are weighed against each other: ``"uncertainty_weighting"``,
    ``"pcgrad"``, ``"nash_mtl"``, ``"min_snr"``, a table with settings, or a function as ``training.fit(aggregate=)``
    takes it. None for their plain mean."""
    standardize: Literal[True, False, "whiten", "auto"] = "auto"
    """Units to learn in. True: mean 0 and standard deviation 1 of the pooled data (one map for both ends; per column
    for tables, overall for images). ``"whiten"``: uncorrelated too, in which N(0, I) is a Gaussian fit of the data.
    ``"auto"``: whitened for vectors on a path from a standard normal base, up to 256 columns; else True. ``eps`` is in
    those units squared. Vectors and fields of conditions are standardised too, for networks that are not your own."""
    transform: Annotated[Any, Check(choose_transform)] = None
    """A map of single columns of a table before ``standardize``, for heavy tails, bounds and sizes over orders of
    magnitude: ``"log"``, ``"asinh"``, ``"quantile"`` (normal quantiles), ``"interval"`` (logit between 0 and 1, or
    other bounds: ``{"kind": "interval", "low": 0.0, "high": inf}`` for one), a table with settings, or a mapping of
    columns to these, ``{"price": "log"}``, by number ``{"0": "log"}`` where they have no names. Samples come back in
    data units, and log densities have the Jacobian of each row. ``eps``, ``fields`` and what is given to the fields are
    in transformed units. A column that does not vary is left as it is."""
    drop_condition: Annotated[float, Interval(ge=0, lt=1)] = 0.0
    """Chance that a row is learnt from without its condition. Above 0 (0.1 is usual) the bridge also knows the fields
    without a condition, which ``guidance`` needs."""
    held_out: Annotated[
        Literal["auto"] | Annotated[float, Interval(ge=0, le=0.5)], Remedy("0.1 is usual.")
    ] = "auto"
    """Share of the rows that training does not see; 0 for none. The weights with the least loss on them are kept, the
    fit ends early when it finds no better ones for a quarter of ``steps``, :meth:`check` judges by them, and
    ``eps="auto"`` is chosen by them. ``"auto"``: a tenth, 2,000 at most, of fewer than 400 rows up to 40 or a fifth, of
    fewer than 40 none. ``fit(held=...)`` gives rows of your own."""
    precondition: Literal[True, False, "auto"] = "auto"
    """Give the network inputs, outputs and losses of one size at all noise levels, on a one-sided path; see
    ``fields.Preconditioned``. Goes well with ``times="noise"`` and ``heads="denoised"``. ``"auto"``: for networks of
    the library on vectors, from a centred Gaussian base of one scale."""
    perturb: Annotated[Any, Check(_noise)] = 0.0
    """Noise on the rows of x1 in every batch, for data on a thin set: a standard deviation in standardised units, or
    ``training.InstanceNoise``. The bridge then leads to data with that noise."""
    penalties: Annotated[Any, Check(_several)] = ()
    """Terms beside the loss, each a table such as ``{"kind": "fokker_planck_residual", "weight": 0.1}``; see
    ``objectives.Penalty``. Each goes with one quantity to learn."""
    masks: Literal[True, False, "levels"] = False
    """Learn the denoised state at one time per entry: :meth:`complete` then draws from the conditional distribution
    under any mask. ``"levels"``: also under noise of any standard deviation per entry, ``complete(sigma=)``. One
    network learns all conditional distributions, at the price of somewhat worse unconditional samples. Needs a
    one-sided path from a centred Gaussian of one scale that is exact at t = 1, and units of single entries:
    ``standardize="auto"`` is then True."""
    leg: Mapping[str, Any] | None = None
    """Settings that differ for a Gaussian -> rho0 bridge learnt in the same fit, for ``log_prob`` of two sample sets;
    ``{}`` for none that differs: the fit takes twice as long. None learns no leg."""

    def check_settings(self) -> None:
        """Refuse settings that do not go together."""
        now, name = self.first_path, who()
        if self.masks:
            self._check_masks(now)
        self.heads = choices.choose_heads(name, self.heads, now)
        choices.choose_times(name, self.times, now)
        choices.choose_aggregate(name, self.aggregate, now)
        choices.choose_penalties(name, self.penalties, now, self.heads)
        joint_loss(self.heads, now)  # refuses what the path does not determine
        if self.precondition is True:
            check_preconditioned(now, self.heads)
        if self.leg is not None:
            self.leg_template(self.leg)

    def _check_masks(self, path: Path) -> None:
        """Check the settings that masks require, and set the head to the denoised state."""
        if not can_mask(path):
            rule = "masks need a one-sided path from a centred Gaussian of one scale, by one schedule, exact at t = 1"
            raise invalid(rule, type(path).__name__, "Use path='one_sided_linear'.")
        if is_among(self.heads, (AUTO,)):
            self.heads = ("denoised",)
        if tuple([self.heads] if isinstance(self.heads, str) else self.heads) != ("denoised",):
            raise invalid("masks need heads='denoised'", self.heads, "Omit heads.")
        if self.standardize == WHITEN:
            rule = "masks need units of single entries"
            raise invalid(rule, "standardize='whiten', which mixes columns", "Use standardize=True.")
        if self.precondition is False:
            raise invalid("masks need a preconditioned network", "precondition=False", "Omit it.")

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
        weights = Role(
            name="weights", kind="weights", axis="x1", optional=True, about="how much each row of x1 counts"
        )
        weights0 = Role(
            name="weights0", kind="weights", axis="x0", optional=True, about="how much each row of x0 counts"
        )
        more0 = (known0,) if x0 else ()
        return (*x0, x1, known, *more0, weights, *((weights0,) if x0 and not paired else ()))

    def answers_without(self, role: str) -> bool:
        """With ``drop_condition`` it knows the fields without a condition too; the others are for the fit alone."""
        return role in ("cond0", "weights", "weights0") or self.drop_condition > 0

    def leg_of(self) -> Any:
        """The leg for rows without names, which has the transforms of this bridge unless it has its own."""
        transform = by_number("Bridge.fit", self.transform, self.columns("x1"))
        return self.leg_template({"transform": transform, **(self.leg or {})})

    def leg_template(self, settings: Mapping[str, Any]) -> Any:
        """An unfitted Gaussian -> rho0 bridge with this one's training, changed by some settings."""
        known = [field.name for field in settings_of(type(self)) if field.name not in ("path", "leg")]
        rule = "leg must be a table of settings of the bridge from a Gaussian to rho0"
        if not isinstance(settings, Mapping):
            raise invalid(
                rule, repr(settings), "For example, pass leg={'steps': 1000}, or leg={} for no change."
            )
        if unknown := [name for name in settings if name not in known]:
            fixed = unknown[0] in ("path", "leg")
            remedy = (
                "Its path is 'one_sided_linear'; leave it out." if fixed else nearest(str(unknown[0]), known)
            )
            raise invalid(rule, repr(unknown[0]), remedy)
        net = self.net if not isinstance(self.net, nn.Module) else "auto"
        return type(self)(path="one_sided_linear", **{"net": net, **self.training_params(), **settings})
