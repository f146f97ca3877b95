"""What ``"auto"`` means: the network, the fields to learn and the times, from the path and the shape of the data."""

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from interpolants.foundations.errors import InvalidInputError, invalid, nearest
from interpolants.foundations.registry import build, names
from interpolants.objectives.times import (
    ImportanceTimes,
    LogitNormalTimes,
    NoiseTimes,
    StratifiedTimes,
    TimeSampler,
    UniformTimes,
)
from interpolants.paths.path import Path
from interpolants.training.settings import TrainSettings

LEARNABLE = ("velocity", "drift", "score", "denoiser", "endpoint0", "endpoint1")


def check_options(who: str, options: Mapping[str, Any], function: Callable[..., Any]) -> None:
    """Refuse options that ``function`` does not take, and name the nearest that it does."""
    known = inspect.signature(function).parameters
    for name in options:
        if name not in known:
            raise invalid(who, "the option must be known", repr(name), nearest(name, known))


def choose_path(path: Any) -> Path:
    """A path from its name, its description or itself."""
    if isinstance(path, Path):
        return path
    chosen = _member("path", path)
    assert isinstance(chosen, Path)
    return chosen


def choose_coupling(coupling: Any) -> Any:
    """A coupling from its name, its description or itself."""
    return _member("coupling", coupling) if isinstance(coupling, str | dict) else coupling


def choose_heads(learn: Any, path: Path) -> tuple[str, ...]:
    """Quantities to learn: one is enough on one-sided and mirror paths, two-sided ones need a pair.

    Drift and denoiser have no singular target, so they need no antithetic pairs, and on small data sets their ODE stays
    near the data where a velocity learnt directly may not: near the ends it carries the scores of rho0 and rho1, which
    few samples do not determine. Without latent noise only the velocity can be learnt, and only the ODE can be run.
    """
    if isinstance(learn, str) and learn == "auto":
        if path.is_static:
            return ("denoiser",)
        return ("velocity",) if path.is_one_sided or path.envelope.is_zero else ("drift", "denoiser")
    heads = (learn,) if isinstance(learn, str) else tuple(learn)
    for head in heads:
        if head not in LEARNABLE:
            raise invalid(
                "Bridge", "learn must name known quantities", repr(head), nearest(str(head), LEARNABLE)
            )
    if not heads or len(set(heads)) != len(heads):
        raise invalid("Bridge", "learn must name different quantities, at least one", heads)
    return heads


def choose_times(times: Any, path: Path | None = None) -> TimeSampler:
    """Stratified uniform times unless told otherwise: a sampler, its name, or a table with settings.

    Args:
        times: What was asked for.
        path: The path, for samplers that follow its noise.
    """
    if isinstance(times, TimeSampler):
        return times
    settings = dict(times) if isinstance(times, dict) else {"kind": times}
    name = settings.pop("kind", None)
    kinds: dict[str, type[TimeSampler]] = {
        "auto": StratifiedTimes,
        "stratified": StratifiedTimes,
        "uniform": UniformTimes,
        "logit_normal": LogitNormalTimes,
        "importance": ImportanceTimes,
        "noise": NoiseTimes,
    }
    if name not in kinds:
        raise invalid("Bridge", "times must be a known sampler", repr(name), nearest(str(name), kinds))
    known = [key for key in inspect.signature(kinds[name]).parameters if key != "path"]
    for key in settings:
        if key not in known:
            raise invalid(
                f"times {name!r}", "every setting must be one it has", repr(key), nearest(key, known)
            )
    return kinds[name](**settings, **({"path": path} if name == "noise" else {}))


def train_settings(settings: dict[str, Any]) -> TrainSettings:
    """Training settings with errors that name the setting, the value and the nearest key."""
    known = TrainSettings.model_fields
    for key in settings:
        if key not in known:
            raise invalid("Bridge", "every setting must be known", repr(key), nearest(key, known))
    try:
        return TrainSettings(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise invalid(
            "Bridge", f"{where}: {first['msg'][0].lower()}{first['msg'][1:]}", first["input"]
        ) from error


def warn_about_loss_of_detail(tensor: Tensor, name: str) -> None:
    """Discrete data have no density: say so once, before somebody reads a likelihood."""
    head = tensor[:1000].reshape(min(len(tensor), 1000), -1)
    if len(head) >= 100 and torch.equal(head, head.round()):
        warnings.warn(
            f"Bridge: {name} takes whole numbers only, and discrete data have no density. Samples are fine; before "
            "reading log_prob, add uniform noise of one step (dequantise).",
            stacklevel=4,
        )


def _member(family: str, what: Any) -> Any:
    settings = {"kind": what} if isinstance(what, str) else what
    if not isinstance(settings, dict) or "kind" not in settings:
        rule = f"{family} must be a name, a table with a kind, or a {family}"
        raise InvalidInputError(f"Bridge: {rule}, got {what!r}. One of: {', '.join(names(family))}.")
    settings = dict(settings)
    return build(family, settings.pop("kind"), **settings)
