"""Guidance of the runs of a bridge, from a strength or a table of a rule and its settings."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from interpolants.dynamics.course import run_grid
from interpolants.dynamics.modifiers import Modifier
from interpolants.dynamics.sample import Sampling
from interpolants.fields.protocol import Fields
from interpolants.foundations.checks import is_among, number, one_of
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.tell import SettingWarning, tell
from interpolants.foundations.types import Condition
from interpolants.framework.roles import read
from interpolants.guidance.apg_momentum import APGMomentum
from interpolants.guidance.classifier_free import guide, with_strength
from interpolants.guidance.guiders import Autoguided, CFGPlusPlus
from interpolants.methods.bridge.drawing import Guided
from interpolants.methods.bridge.fitted import FittedBridge
from interpolants.methods.bridge.fitting import as_float32

_NAME = "Bridge"
_COMMON = ("kind", "strength", "interval")
# Settings of each rule, in addition to those that all have.
RULES: dict[str, tuple[str, ...]] = {
    "linear": (),
    "negative": ("against",),
    "apg": ("eta", "radius", "momentum"),
    "zero_star": ("zero_until",),
    "cfg_plus_plus": (),
    "autoguided": ("weak",),
}
_EXAMPLE = (
    "For example, {'kind': 'apg', 'strength': 3}; as a command's option '{kind = \"apg\", strength = 3}'."
)
_TOLERANCE = 1e-4  # of states in standard units, beyond the rounding of float32


class GuidedRun(NamedTuple):
    """Fields and condition to sample with, and modifiers that the rule needs before all others."""

    fields: Fields
    cond: Condition
    modifiers: tuple[Modifier, ...] = ()


def guided_run(bridge: FittedBridge, request: Guided, run: Mapping[str, Any] | None) -> GuidedRun:
    """The guided fields of a bridge.

    Args:
        bridge: A fitted bridge.
        request: Condition, guidance and interval; guidance is a strength or a table.
        run: Settings of ``dynamics.Sampling`` of the run, for rules that depend on its steps; None where there are no
            fixed steps.

    Raises:
        InvalidInputError: If the rule or a setting is unknown, or does not fit the bridge or the run.
    """
    settings = _settings(request)
    kind = settings.pop("kind")
    strength, interval = settings.pop("strength"), settings.pop("interval")
    cond = as_float32(request.cond)
    if kind == "autoguided":
        return _autoguided(bridge, settings.pop("weak", None), cond, strength_of(strength, cond), interval)
    check_knows_both(bridge, cond)
    assert cond is not None
    if kind == "cfg_plus_plus":
        schedule = _cfg_plus_plus(bridge.fields, strength, run)
        return GuidedRun(*guide(bridge.fields, cond, schedule, interval))
    modifiers: tuple[Modifier, ...] = ()
    if momentum := settings.pop("momentum", 0.0):
        if run is None:
            rule = "momentum needs a run of fixed steps"
            raise invalid(_NAME, rule, momentum, "Leave momentum at 0.")
        modifiers = (APGMomentum(momentum),)
    if kind == "negative":
        settings["negative"] = _read_negative(bridge, settings.pop("against", None), len(cond))
    rule = "linear" if kind == "negative" else kind
    guided = guide(bridge.fields, cond, strength_of(strength, cond), interval, rule=rule, **settings)
    return GuidedRun(guided.fields, guided.cond, modifiers)


def _settings(request: Guided) -> dict[str, Any]:
    """The table of a rule, complete with its common settings."""
    value = request.guidance
    is_table = isinstance(value, Mapping) and "times" not in value
    table = dict(value) if is_table else {"strength": value}
    kind = one_of(_NAME, "kind of guidance", table.setdefault("kind", "linear"), RULES)
    options = (*_COMMON, *RULES[kind])
    for name in table:
        if name not in options:
            rule = f"every setting of guidance by {kind!r} must be one of {', '.join(options)}"
            raise invalid(_NAME, rule, repr(name), nearest(str(name), options))
    table.setdefault("strength", 0.6 if kind == "cfg_plus_plus" else 2.0)
    if "interval" in table and tuple(request.guidance_interval) != (0.0, 1.0):
        rule = "guidance has one interval"
        raise invalid(_NAME, rule, table["interval"], "Omit guidance_interval.")
    table.setdefault("interval", request.guidance_interval)
    return table


def strength_of(value: Any, cond: Condition) -> Any:
    """A strength as ``guidance.guide`` takes it.

    Args:
        value: A number, one per sample, a function of t, or a table of ``times`` and ``values``.
        cond: The conditions, one row per sample.
    """
    if callable(value):
        return value
    if isinstance(value, Mapping):
        return _tabulated(value)
    rows = len(cond) if isinstance(cond, Tensor) else 0
    try:
        strength = torch.as_tensor(value, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):
        rule = "guidance must be a number, one number per sample, a function of t, or a table"
        raise invalid(_NAME, rule, repr(value), _EXAMPLE) from None
    if strength.ndim > 1 or (strength.ndim == 1 and len(strength) != rows):
        rule = f"guidance must be a number, a function of t or one number per sample, ({rows},)"
        raise invalid(_NAME, rule, tuple(strength.shape))
    return strength if strength.ndim else float(strength)


def _tabulated(table: Mapping[str, Any]) -> Callable[[Tensor], Tensor]:
    """A strength that is linear between some times, and constant before the first and after the last."""
    try:
        times, values = (np.asarray(table[name], dtype=np.float64) for name in ("times", "values"))
        fits = set(table) == {"times", "values"} and times.ndim == 1 and times.shape == values.shape
    except (KeyError, TypeError, ValueError):
        fits = False
    if not (fits and len(times) and (np.diff(times) > 0).all() and 0 <= times[0] <= times[-1] <= 1):
        rule = "a table of strengths must have increasing times within [0, 1] and as many values"
        raise invalid(_NAME, rule, dict(table), "For example, {'times': [0.2, 0.8], 'values': [1, 3]}.")
    if not np.isfinite(values).all():
        raise invalid(_NAME, "strengths must be finite", values.tolist())
    return lambda t: torch.from_numpy(np.asarray(np.interp(t.double().cpu().numpy(), times, values))).to(t)


def check_knows_both(bridge: FittedBridge, cond: Condition) -> None:
    """Check that the network was trained with and without its condition."""
    if cond is None or not bridge.drop_condition:
        problem = "no condition" if cond is None else "a bridge with drop_condition=0"
        remedy = "Fit Bridge(drop_condition=0.1, ...) with cond=, and pass cond= here."
        raise invalid(_NAME, "guidance needs a bridge that knows both its fields", problem, remedy)


def _read_negative(bridge: FittedBridge, against: Any, rows: int) -> Condition:
    """The negative condition, read like those of the fit."""
    if against is None:
        remedy = "Name it: {'kind': 'negative', 'against': 8}."
        raise invalid(_NAME, "guidance by 'negative' needs the condition to guide away from", "none", remedy)
    roles = [role for role in bridge.roles() if role.name == "cond"]
    values, _ = read(roles, {"cond": against}, "Bridge: against", before=bridge.given, rows=rows)
    return as_float32(values["cond"])


def _cfg_plus_plus(fields: Fields, strength: Any, run: Mapping[str, Any] | None) -> CFGPlusPlus:
    """The strengths of CFG++ on the steps of the run."""
    number(_NAME, "strength of cfg_plus_plus", strength)
    how = Sampling(**{"method": None, **(run or {"method": "another solver"})})
    for name, value, needed in (
        ("method", how.method, "ddim"),
        ("eps", how.eps, 0),
        ("reverse", how.reverse, False),
    ):
        if not is_among(value, (needed,)):
            rule = f"guidance by 'cfg_plus_plus' needs {name}={needed!r}: it is a schedule for DDIM steps"
            raise invalid(_NAME, rule, repr(value), "Or use {'kind': 'linear'}.")
    span: dict[str, Any] = {"start": how.start, "stop": how.stop, "reverse": False, "method": "ddim"}
    grid = run_grid(fields, how.n_steps, how.time_grid, noisy=False, **span)
    assert fields.path is not None
    schedule = CFGPlusPlus(fields.path, grid, strength)
    low, high = float(schedule.strengths.min()), float(schedule.strengths.max())
    tell(
        SettingWarning,
        f"Bridge: cfg_plus_plus stands for linear strengths from {low:.3g} to {high:.3g}, which grow with n_steps: its "
        "samples have no limit. Compare rules at equal strengths.",
    )
    return schedule


def _autoguided(
    bridge: FittedBridge, weak: Any, cond: Condition, strength: Any, interval: tuple[float, float]
) -> GuidedRun:
    """A bridge that is moved away from a weaker one."""
    if isinstance(weak, str | Path):
        weak = type(bridge).load(weak)
    if not isinstance(weak, FittedBridge) or not weak.is_fitted:
        rule = "weak must be a fitted bridge, or its folder"
        raise invalid(
            _NAME, rule, type(weak).__name__, "For example, bridge.clone().set_params(steps=200).fit(...)."
        )
    columns = [None if b.given.get("cond") is None else b.given["cond"].columns for b in (bridge, weak)]
    if columns[0] != columns[1]:
        rule = "the weak bridge must have been fitted with the same conditions"
        raise invalid(_NAME, rule, "others", "Fit it with the same cond=.")
    rows = bridge.state["pool1"].x[:64]
    same_shape = weak.field_shape == bridge.field_shape
    if not same_shape or float((weak.encoded(bridge.decoded(rows)) - rows).abs().max()) > _TOLERANCE:
        rule = "the weak bridge must see states in the same units"
        remedy = "Fit both on the same rows with equal seed, standardize and transform."
        raise invalid(_NAME, rule, "others", remedy)
    per_row = isinstance(strength, Tensor) and bool(strength.ndim)
    fields = Autoguided(bridge.fields, weak.fields, 1.0 if per_row else strength, interval)
    return GuidedRun(fields, with_strength(cond, strength) if per_row else cond)
