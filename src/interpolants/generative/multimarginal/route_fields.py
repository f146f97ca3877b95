"""Fields along a route across the simplex, from heads that know all of it.

Letters: as in :mod:`interpolants.generative.multimarginal.multimarginal`.
"""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from interpolants.fields.protocol import QUANTITIES, Fields
from interpolants.foundations.errors import NotIdentifiableError, invalid, nearest
from interpolants.foundations.ops import expand_like
from interpolants.foundations.types import Condition
from interpolants.generative.multimarginal.routes import Route, RoutePath

SimplexField = Callable[[Tensor, Tensor], Tensor]


class RouteFields(Fields):
    """The fields along a route, ``b = sum_k alpha_k' g_k + gamma' eta``, from heads that know the whole simplex.

    Args:
        function: ``(x (B, *D), alpha (B, K)) -> (B, H, *D)``: ``g_1 ... g_K``, and eta when ``scale > 0``.
        route: The route.
        scale: a of the latent noise, >= 0.
        margin: Times are clipped to ``[margin, 1 - margin]`` where gamma divides.
    """

    path: RoutePath

    def __init__(
        self, function: SimplexField, route: Route, scale: float = 0.0, margin: float = 1e-4
    ) -> None:
        self.function, self.route, self.scale, self.margin = function, route, scale, margin
        self.path = RoutePath(route, scale)

    @property
    def known(self) -> tuple[str, ...]:
        """What the heads give."""
        return ("mean_rate", "endpoint0", "denoised", *(("noise",) if self.scale else ()))

    @property
    def networks(self) -> list[nn.Module]:
        """The network, if there is one."""
        return [self.function] if isinstance(self.function, nn.Module) else []

    @property
    def bounded_quantity(self) -> str:
        """The noise, which stays finite at the vertices."""
        return "noise"

    def provides(self, quantity: str) -> bool:
        """All quantities with latent noise; without it neither score nor noise."""
        if quantity not in QUANTITIES:
            raise invalid(
                "Fields",
                "the quantity must be one of the fields' quantities",
                repr(quantity),
                nearest(quantity, QUANTITIES),
            )
        return self.scale > 0 or quantity not in ("score", "noise")

    def evaluate(
        self, x: Tensor, t: Tensor, want: Sequence[str], cond: Condition = None
    ) -> dict[str, Tensor]:
        """The wanted quantities at ``x (B, *D)`` and ``t`` 0-d or ``(B,)``; the heads are evaluated once."""
        heads = self.function(x, self.route.alpha(t).to(x.dtype).expand(len(x), -1))
        return {name: self._quantity(name, heads, x, t) for name in want}

    def _quantity(self, name: str, heads: Tensor, x: Tensor, t: Tensor) -> Tensor:
        if not self.provides(name):
            remedy = "Fit with latent > 0, or run the ODE (eps=0)."
            raise NotIdentifiableError(f"Multimarginal: {name} needs latent noise. {remedy}")
        if name in ("endpoint0", "denoised"):
            return heads[:, self.route.source if name == "endpoint0" else self.route.target]
        if name == "noise":
            return heads[:, -1]
        inside = t.clamp(self.margin, 1 - self.margin)
        if name == "score":
            return -heads[:, -1] / self._wide(self.path.envelope.gamma(inside), x)
        rate = self.route.alpha_dot(t).to(x.dtype).reshape(-1, self.route.size, *(1,) * (x.ndim - 1))
        # Not a matrix product: its last bits would depend on the batch, and so would a sample.
        mean_rate = (rate * heads[:, : self.route.size]).sum(1)
        if name == "mean_rate" or not self.scale:
            return mean_rate
        return mean_rate + self._wide(self.path.envelope.gamma_dot(inside), x) * heads[:, -1]

    @staticmethod
    def _wide(value: Tensor, x: Tensor) -> Tensor:
        return expand_like(value.to(x.dtype), x)
