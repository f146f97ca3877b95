"""What ``"auto"`` means: the network, the fields to learn and the times, from the path and the shape of the data."""

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from interpolants.foundations.errors import InvalidInputError, invalid, nearest
from interpolants.foundations.registry import build, members, names
from interpolants.objectives.joint import learnable
from interpolants.objectives.penalties import Penalty, check_penalties
from interpolants.objectives.times import TimeSampler
from interpolants.paths.fitted import UnfittedPath
from interpolants.paths.path import Path
from interpolants.training.settings import TrainSettings


def check_options(who: str, options: Mapping[str, Any], function: Callable[..., Any]) -> None:
    """Refuse options that ``function`` does not take, and name the nearest that it does."""
    known = inspect.signature(function).parameters
    for name in options:
        if name not in known:
            raise invalid(who, "the option must be known", repr(name), nearest(name, known))


def path_to_fit(path: Any) -> UnfittedPath | None:
    """What must be fitted to the data before there is a path, if that was asked for."""
    return path if isinstance(path, UnfittedPath) else UnfittedPath.of(path)


def choose_path(path: Any) -> Path:
    """A path from its name, its description or itself; before its data are known, what stands for it."""
    if isinstance(path, Path):
        return path
    if (unfitted := path_to_fit(path)) is not None:
        return unfitted.before
    chosen = _member("path", path)
    assert isinstance(chosen, Path)
    return chosen


def choose_coupling(coupling: Any) -> Any:
    """A coupling from its name, its description or itself."""
    return _member("coupling", coupling) if isinstance(coupling, str | dict) else coupling


def choose_heads(learn: Any, path: Path) -> tuple[str, ...]:
    """Quantities to learn: one is enough on one-sided and mirror paths, two-sided ones need a pair.

    Mean rate and noise have no singular target, so they need no antithetic pairs. On small data sets their ODE stays
    near the data where a velocity learnt directly may not: near the ends it carries the scores of rho0 and rho1, which
    few samples do not determine. Without latent noise only the velocity can be learnt, and only the ODE can be run.
    """
    if isinstance(learn, str) and learn == "auto":
        if path.is_static:
            return ("noise",)
        return ("velocity",) if path.is_one_sided or path.envelope.is_zero else ("mean_rate", "noise")
    heads = (learn,) if isinstance(learn, str) else tuple(learn)
    for head in heads:
        if head not in learnable():
            raise invalid(
                "Bridge", "learn must name known quantities", repr(head), nearest(str(head), learnable())
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
    name = "stratified" if name == "auto" else name
    known = members("time_sampler")
    if name not in known:
        raise invalid("Bridge", "times must be a known sampler", repr(name), nearest(str(name), known))
    if "path" in inspect.signature(known[name]).parameters:
        settings["path"] = path
    made = build("time_sampler", name, **settings)
    assert isinstance(made, TimeSampler)
    return made


def choose_penalties(penalties: Any, path: Path, heads: Sequence[str]) -> list[Penalty]:
    """Terms beside the loss, each given as a table ``{"kind": id, **settings}``, made for a path.

    Raises:
        InvalidInputError: If one is unknown, is no penalty, or asks for another quantity than is learnt.
    """
    known = names("penalty")
    made = []
    for spec in penalties:
        kind = spec.get("kind") if isinstance(spec, Mapping) else None
        if not isinstance(spec, Mapping) or kind not in known:
            remedy = f"{nearest(str(kind), known)} E.g. {{'kind': {known[0]!r}, 'weight': 0.1}}."
            raise invalid("Bridge", "a penalty must be a table with a known kind", repr(spec), remedy)
        settings = {name: value for name, value in spec.items() if name != "kind"}
        if isinstance(settings.get("box"), list):
            settings["box"] = tuple(settings["box"])
        made.append(build("penalty", str(kind), path=path, **settings))
    check_penalties(made, heads, "Bridge")
    return made


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
