"""Interface of methods to scikit-learn: score, tags, and columns of the fit.

scikit-learn is imported for the tags only, which only scikit-learn reads: methods work without it.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.framework.capabilities import NotAbleError, capabilities_of
from interpolants.framework.labels import is_named
from interpolants.framework.role import kind_of

# Argument of `log_prob` that takes y.
_CONDITION = "cond"


def mean_log_prob(method: Any, x: Any, y: Any, options: Mapping[str, Any]) -> float:
    """Compute the mean log density of rows in nats, the value of ``Method.score``.

    Args:
        method: The method.
        x: Rows ``(N, *D)``.
        y: Condition of each row for ``log_prob``, or target of each row for ``predict``; None for neither.
        options: Options of ``log_prob`` or ``predict``.
    """
    caller = f"{type(method).__name__}.score"
    if _scored_verb(method) == "log_prob":
        condition = {} if y is None else {_condition(method, caller): y}
        log_probs = method.log_prob(x, **condition, **options)
    else:
        log_probs = _log_probs_of_targets(method, x, y, options, caller)
    return float(np.mean(_as_float64(log_probs)))


def _scored_verb(method: Any) -> str:
    """Return the verb whose answers have a log density.

    Raises:
        NotAbleError: If the method has neither a density nor a predictive distribution, with the reason.
    """
    verbs = ("log_prob", "predict")
    for verb in verbs:
        if method.can(verb):
            return verb
    reasons = method.capabilities()
    reason = next((reasons[verb] for verb in verbs if verb in reasons), "it has no log_prob and no predict.")
    remedy = "Pass scoring=, a function of (method, x, y), to scikit-learn."
    raise NotAbleError(f"{type(method).__name__}.score: {reason} {remedy}")


def _condition(method: Any, caller: str) -> str:
    """Return the name of the argument that takes ``y``."""
    if _CONDITION in capabilities_of(type(method))["log_prob"].parameters and _CONDITION in method.given:
        return _CONDITION
    rule = f"y requires a {method.noun} fitted with conditions"
    raise invalid(caller, rule, "a fit without them", "Fit with the labels too: fit(x1=x, cond=y).")


def _log_probs_of_targets(method: Any, x: Any, y: Any, options: Mapping[str, Any], caller: str) -> Any:
    if y is None:
        raise invalid(caller, "y is required: the score is log p(y | x)", "None")
    if options.get("joint"):
        raise invalid(caller, "the score is a mean over rows", "joint=True", "Remove joint=True.")
    prediction = method.predict(x, **options)
    if not hasattr(prediction, "log_prob"):
        raise NotAbleError(f"{caller}: predict must return distributions, got {type(prediction).__name__}.")
    # log_prob gives a missing entry the log density 0, which would enter the mean.
    if not np.isfinite(_as_float64(y)).all():
        raise invalid(caller, "y must be finite", "NaN or infinite values", "Drop these rows.")
    return prediction.log_prob(y)


def _as_float64(values: Any) -> np.ndarray[Any, Any]:
    return np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values, dtype=np.float64)


def are_labels(y: Any, x: Any) -> bool:
    """Return True if ``y`` holds one word or integer for each row of ``x``, whose rows have more than one number.

    ``x`` and ``y`` then differ in shape, so that they cannot be the two ends of a path.
    """
    shape = tuple(getattr(y, "shape", (len(y),) if isinstance(y, list | tuple) else ()))
    rows = tuple(getattr(x, "shape", ()))
    if len(shape) != 1 or len(rows) < 2 or math.prod(rows[1:]) < 2:
        return False
    if isinstance(y, Tensor):
        return not y.is_floating_point() and not y.is_complex()
    return is_named(y) or np.asarray(y).dtype.kind in "iub"


def n_features(method: Any) -> int:
    """Return the number of columns of the fit.

    Raises:
        AttributeError: Before a fit, and if rows are not vectors.
    """
    shape = method.shapes.get(_role_of_rows(method), ())
    if len(shape) != 1:
        raise _no_attribute(method, "n_features_in_")
    return int(shape[0])


def feature_names(method: Any) -> np.ndarray[Any, Any]:
    """Return the names of the columns of the fit, ``(D,)``.

    Raises:
        AttributeError: If the fit had no table, or one with other column names than strings.
    """
    names = method.columns(_role_of_rows(method))
    if not names or not all(isinstance(name, str) for name in names):
        raise _no_attribute(method, "feature_names_in_")
    return np.array(names, dtype=object)


def _no_attribute(method: Any, name: str) -> AttributeError:
    return AttributeError(f"{type(method).__name__} has no attribute {name!r}", name=name, obj=method)


def _role_of_rows(method: Any) -> str:
    """Return the role of the first positional argument of ``fit``."""
    return "x1" if "x1" in method.shapes else next(iter(method.shapes), "")


def tags_of(method: Any) -> Any:
    """Return the tags that scikit-learn reads.

    Raises:
        MissingExtraError: If scikit-learn is not installed.
    """
    utils = require("sklearn.utils", by=f"{type(method).__name__}.__sklearn_tags__")
    predicts = "predict" in capabilities_of(type(method))
    # scikit-learn requires these of every object with an attribute `transform`, which is a setting here.
    transformer = utils.TransformerTags() if hasattr(method, "transform") else None
    allow_nan = any(role.gaps and kind_of(role).has_rows for role in method.roles())
    return utils.Tags(
        estimator_type=None if predicts else "density_estimator",
        target_tags=utils.TargetTags(required=predicts, multi_output=predicts),
        transformer_tags=transformer,
        input_tags=utils.InputTags(three_d_array=not predicts, allow_nan=allow_nan),
    )
