"""One round of rectification: the pairs that a flow makes, the path they are learnt on, the map read off afterwards.

Letters: ``X_1(x)`` where the flow carries x from t = 0 to t = 1; ``alpha, beta`` coefficients of the path.
"""

from dataclasses import replace

import torch
from torch import Tensor

from interpolants.couplings.pairs import Pairs
from interpolants.couplings.reflow import Reflow
from interpolants.dynamics.sample import sample
from interpolants.fields.protocol import Fields
from interpolants.foundations.errors import invalid
from interpolants.foundations.types import Condition, join_rows
from interpolants.paths.envelopes import ZeroEnvelope
from interpolants.paths.linear import Linear, OneSidedLinear
from interpolants.paths.path import Path, SpatiallyLinearPath
from interpolants.paths.trigonometric import OneSidedTrigonometric, Trigonometric


def rectified_pairs(
    fields: Fields,
    x0: Tensor | None = None,
    x1: Tensor | None = None,
    *,
    cond0: Condition = None,
    cond1: Condition = None,
    n_steps: int = 100,
    method: str = "heun",
) -> Pairs:
    """The pairs ``(x0, X_1(x0))`` and ``(X_0(x1), x1)`` of a flow; with both kinds of starts they are joined.

    Args:
        fields: The flow, learnt or exact.
        x0: Start points ``(N0, *D)`` that it carries up to t = 1.
        x1: End points ``(N1, *D)`` that it carries down to t = 0.
        cond0: Conditions under which it carries ``x0``.
        cond1: Conditions under which it carries ``x1``.
        n_steps: Steps of the solver.
        method: The solver.

    Raises:
        InvalidInputError: If there is nothing to start from.

    Source: Liu, Gong & Liu (2022), arXiv:2209.03003.
    """

    def pairs(x: Tensor, cond: Condition, reverse: bool) -> Pairs:
        def flow(start: Tensor, known: Condition = None) -> Tensor:
            return sample(fields, start, reverse=reverse, n_steps=n_steps, method=method, cond=known).x

        return Reflow(flow, reverse=reverse).pair(x, x, cond0=cond, cond1=cond)

    given = ((x0, cond0, False), (x1, cond1, True))
    made = [pairs(x, cond, reverse) for x, cond, reverse in given if x is not None]
    if not made:
        raise invalid("rectified_pairs", "start points must be passed", "None", "Pass x0=, x1= or both.")
    if len(made) == 1:
        return made[0]
    first, second = made
    names = ("x0", "x1", "index0", "index1")
    parts = {name: torch.cat([getattr(first, name), getattr(second, name)]) for name in names}
    return Pairs(cond0=None, cond1=join_rows([first.cond1, second.cond1]), **parts)


def one_step(fields: Fields, x: Tensor, *, reverse: bool = False, cond: Condition = None) -> Tensor:
    """The map of a rectified flow by one evaluation at an end.

    There the start is known, so ``b(0, x) = alpha'(0) x + beta'(0) X_1(x)``, and likewise
    ``b(1, x) = alpha'(1) X_0(x) + beta'(1) x``. Exact whatever the shape of the trajectories between; wrong for a flow
    that was not rectified, where it gives the mean of all ends.

    Args:
        fields: A rectified flow with its path.
        x: States ``(B, *D)`` at t = 0, or at t = 1 when ``reverse``.
        reverse: Whether to go from t = 1 to t = 0.
        cond: What is known of each row.

    Raises:
        InvalidInputError: If the fields have no spatially linear path.
    """
    path = fields.path
    if not isinstance(path, SpatiallyLinearPath):
        raise invalid("one_step", "the path must be spatially linear", type(path).__name__)
    t = torch.tensor(1.0 if reverse else 0.0, dtype=x.dtype, device=x.device)
    alpha_dot, beta_dot = path.alpha_dot(t), path.beta_dot(t)
    with torch.no_grad():
        velocity = fields.velocity(x, t, cond)
    end: Tensor = (velocity - beta_dot * x) / alpha_dot if reverse else (velocity - alpha_dot * x) / beta_dot
    return end


def plain_path(path: Path) -> Path:
    """The path with the same alpha and beta, two free ends and no latent noise.

    Raises:
        InvalidInputError: If there is none: the path is not spatially linear, or its base cannot be set free.
    """
    if isinstance(path, OneSidedLinear):
        return Linear(envelope=ZeroEnvelope())
    if isinstance(path, OneSidedTrigonometric):
        return Trigonometric(envelope=ZeroEnvelope())
    if not isinstance(path, SpatiallyLinearPath) or path.is_one_sided or path.is_static:
        raise invalid("Rectification", "the path must be spatially linear with two ends", type(path).__name__)
    if path.envelope.is_zero:
        return path
    plain: Path = replace(path, envelope=ZeroEnvelope())  # type: ignore[type-var]  # all of them are dataclasses
    return plain


def weights_add_up(path: Path) -> bool:
    """Whether ``alpha + beta = 1`` at all times: the path of moved ends is then the moved path."""
    t = torch.linspace(0, 1, 9, dtype=torch.float64)
    if not isinstance(path, SpatiallyLinearPath):
        return False
    return bool(torch.allclose(path.alpha(t) + path.beta(t), torch.ones_like(t), rtol=0, atol=1e-12))
