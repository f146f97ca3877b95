"""What rectification and flow maps accept as path, coupling and training settings, checked once."""

import inspect
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.registry import build, find_card, names
from interpolants.objectives.losses import has_singular_rate
from interpolants.paths.envelopes import ZeroEnvelope
from interpolants.paths.path import Path
from interpolants.training.pairs import check_precision
from interpolants.training.settings import TrainSettings

# A flow is learnt once and used often: the rate falls to zero, so that the last weights are good ones.
DEFAULTS = {"schedule": "cosine", "warmup": 50, "lr": 2e-3}


def flow_path(path: Any, who: str) -> Path:
    """A path whose velocity is finite at both ends; by name alone, without latent noise.

    Args:
        path: A ``Path``, the id of a card, or a table ``{"kind": id, **settings}``. A two-sided path that is given
            without an envelope gets ``gamma = 0``: the flow is all that is used, and its velocity is then finite.
        who: Public name for errors.

    Raises:
        InvalidInputError: If the path is unknown, static, or its velocity is infinite at an end.
    """
    found = path if isinstance(path, Path) else _build_path(path, who)
    if found.is_static:
        raise invalid(who, "the path must move (it is static)", type(found).__name__, "E.g. path='linear'.")
    if has_singular_rate(found):
        remedy = "Take gamma = 0, or an envelope with a finite rate such as 'quadratic'."
        raise invalid(who, "the velocity must be finite at both ends", type(found).__name__, remedy)
    return found


def _build_path(path: Any, who: str) -> Path:
    settings = {"kind": path} if isinstance(path, str) else dict(path)
    kind = settings.pop("kind", None)
    if kind not in names("path"):
        raise invalid(who, "path must be known", repr(kind), nearest(str(kind), names("path")))
    if "envelope" not in settings and _takes_envelope(kind):
        settings["envelope"] = ZeroEnvelope()
    built = build("path", kind, **settings)
    assert isinstance(built, Path)
    return built


def _takes_envelope(kind: str) -> bool:
    entry: Any = find_card(kind, "path").load_entry()
    return "envelope" in inspect.signature(entry).parameters


def train_settings(train: Any, seed: int, who: str) -> TrainSettings:
    """Settings of the training loop, from a table over our defaults or as they come.

    Raises:
        InvalidInputError: If a setting is unknown or out of range; the nearest name is given.
    """
    if isinstance(train, TrainSettings):
        return train
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise invalid(who, "seed must be an integer >= 0", seed)
    settings = {"seed": seed, **DEFAULTS, **(train or {})}
    known = TrainSettings.model_fields
    for key in settings:
        if key not in known:
            raise invalid(who, "every training setting must be known", repr(key), nearest(str(key), known))
    try:
        return TrainSettings(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise invalid(who, f"train, {where}: {first['msg'].lower()}", first["input"]) from error


def choose_coupling(coupling: Any, who: str) -> Any:
    """A coupling from its id, its table or itself."""
    if not isinstance(coupling, str | dict):
        return coupling
    settings = {"kind": coupling} if isinstance(coupling, str) else dict(coupling)
    kind = settings.pop("kind", None)
    if kind not in names("coupling"):
        raise invalid(who, "coupling must be known", repr(kind), nearest(str(kind), names("coupling")))
    return build("coupling", kind, **settings)


def check_samples(who: str, name: str, x: Any, *, least: int = 1) -> None:
    """Refuse what no network is learnt from: its weights have the precision of the samples, and half is too little.

    Args:
        who: Public name for errors.
        name: Name of the argument.
        x: Samples ``(N, *D)``.
        least: Fewest rows.

    Raises:
        InvalidInputError: If ``x`` is no float32 or float64 tensor, not finite, or of too few rows.
    """
    if not isinstance(x, Tensor) or x.ndim < 2 or not x.is_floating_point() or len(x) < least:
        what = f"{x.dtype} of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        enough = f", N >= {least}" if least > 1 else ""
        raise invalid(who, f"{name} must be a floating-point tensor (N, *D){enough}", what)
    check_precision(who, name, x)
    if not bool(x.isfinite().all()):
        raise invalid(who, f"{name} must be finite", "nan or inf", "Remove such rows first.")


def check_ends(who: str, x0: Tensor | None, x1: Tensor, *, one_sided: bool) -> None:
    """Refuse sample sets that cannot be bridged."""
    if x0 is None and not one_sided:
        raise invalid(who, "x0 is needed by a two-sided path", "None", "Or path='one_sided_linear'.")
    for name, x in (("x0", x0), ("x1", x1)):
        if x is not None:
            check_samples(who, name, x)
    if x0 is not None and x0.shape[1:] != x1.shape[1:]:
        shapes = f"{tuple(x0.shape[1:])} and {tuple(x1.shape[1:])}"
        raise invalid(who, "x0 and x1 must have one event shape", shapes)
