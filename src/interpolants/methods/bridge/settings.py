"""How a bridge is set: its settings, what they allow, and what it reads."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, ClassVar

from torch import nn

from interpolants.couplings.independent import Independent
from interpolants.couplings.paired import Paired
from interpolants.fields.preconditioned import check_preconditioned
from interpolants.foundations.checks import is_among, number, one_of
from interpolants.foundations.errors import invalid, nearest
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
UNITS = (True, False, WHITEN, AUTO)


class BridgeSettings(Trained):
    """How a bridge is set; :class:`interpolants.Bridge` says what each setting means."""

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

    def answers_without(self, role: str) -> bool:
        """With ``drop_condition`` it knows the fields without a condition too; ``cond0`` is for pairing alone."""
        return role == "cond0" or self.drop_condition > 0

    def leg_of(self) -> Any:
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
