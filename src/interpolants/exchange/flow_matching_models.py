"""Models of flow_matching as fields: its time is ours, and its schedulers are paths.

``X_t = alpha_t X_1 + sigma_t X_0``: its alpha is our ``beta``, the weight of the data, and its sigma our ``alpha``.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from interpolants.fields.learned import LearnedFields
from interpolants.foundations.checks import one_of
from interpolants.foundations.errors import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.types import Condition
from interpolants.paths.custom import SpatiallyLinear
from interpolants.paths.envelopes import ZeroEnvelope
from interpolants.paths.linear import Linear, OneSidedLinear
from interpolants.paths.path import SpatiallyLinearPath

WHO = "from_flow_matching"
# What a model predicts, in the words of flow_matching -> the quantity that it is.
PREDICTIONS: Mapping[str, str] = {"velocity": "velocity", "x1": "denoised", "epsilon": "noise"}


class FlowMatchingNet(nn.Module):
    """A model of flow_matching, called as ``net(x, t, cond)``.

    Args:
        model: Called as ``model(x=x, t=t, **extras)``.
        argument: Name of the extra that takes the condition, or None for none.
    """

    def __init__(self, model: Callable[..., Any], argument: str | None) -> None:
        super().__init__()
        self.model, self.argument = model, argument

    def forward(self, x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
        """What the model predicts, ``(B, *D)``."""
        if cond is not None and self.argument is None:
            remedy = "Name the extra: from_flow_matching(model, path, condition='label')."
            raise invalid(WHO, "a model without a condition takes none", "a condition", remedy)
        told = {} if self.argument is None or cond is None else {self.argument: cond}
        found: Tensor = self.model(x=x, t=t, **told)
        return found


def from_flow_matching(
    model: Any,
    path: Any = None,
    *,
    prediction: str = "velocity",
    gaussian: bool = True,
    condition: str | None = None,
) -> LearnedFields:
    """Fields of a model of flow_matching, for our samplers, likelihoods and guidance.

    Args:
        model: A module or ``ModelWrapper``, called as ``model(x=x, t=t, **extras)``; put into evaluation mode.
        path: Its path (``CondOTProbPath()``, ``AffineProbPath(scheduler)``) or scheduler; None: ``CondOTProbPath()``.
        prediction: What it predicts: ``"velocity"``, ``"x1"`` (the target) or ``"epsilon"`` (the noise).
        gaussian: Whether ``X_0`` was standard normal while it was trained. It then is the base: there are a score, SDEs
            and log densities. False for another source: the flow alone.
        condition: Name of the extra that ``cond`` is passed to; None for a model without.

    Returns:
        Fields on the path of the scheduler. Time is as in flow_matching: 0 at the source, 1 at the data.

    Raises:
        InvalidInputError: If model or path is of another kind, or the prediction unknown.
    """
    if not callable(model):
        raise invalid(WHO, "the model must be callable as model(x=, t=)", type(model).__name__)
    one_of(WHO, "prediction", prediction, PREDICTIONS)
    if prediction == "epsilon" and not gaussian:
        rule = "prediction='epsilon' needs Gaussian noise at the start"
        raise invalid(WHO, rule, "gaussian=False", "Use 'velocity', or gaussian=True.")
    if isinstance(model, nn.Module):
        model.eval()
    given: dict[str, Any] = {PREDICTIONS[prediction]: FlowMatchingNet(model, condition)}
    return LearnedFields(_path_of(path, Gaussian() if gaussian else None), **given)


def _path_of(path: Any, base: Gaussian | None) -> SpatiallyLinearPath:
    """Our path of a path or scheduler; conditional optimal transport without one."""
    if path is None:
        return Linear(envelope=ZeroEnvelope()) if base is None else OneSidedLinear()
    scheduler = getattr(path, "scheduler", path)
    probe = torch.linspace(0, 1, 3, dtype=torch.float64)
    found = scheduler(probe) if callable(scheduler) else None
    if not all(isinstance(getattr(found, name, None), Tensor) for name in ("alpha_t", "sigma_t")):
        remedy = "Pass an affine path or a scheduler, e.g. AffineProbPath(CosineScheduler())."
        raise invalid(
            WHO, "the path must have a scheduler with alpha_t and sigma_t", type(path).__name__, remedy
        )
    alpha, beta, alpha_dot, beta_dot = (
        _part(scheduler, name) for name in ("sigma_t", "alpha_t", "d_sigma_t", "d_alpha_t")
    )
    ends = torch.stack([getattr(found, name)[[0, -1]] for name in ("sigma_t", "alpha_t")])
    exact = bool(torch.allclose(ends, torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=ends.dtype), atol=1e-6))
    return SpatiallyLinear(alpha, beta, alpha_dot=alpha_dot, beta_dot=beta_dot, base=base, exact_ends=exact)


def _part(scheduler: Any, name: str) -> Callable[[Tensor], Tensor]:
    def part(t: Tensor) -> Tensor:
        found: Tensor = getattr(scheduler(t), name)
        return found.expand_as(t) if isinstance(found, Tensor) else torch.full_like(t, float(found))

    return part
