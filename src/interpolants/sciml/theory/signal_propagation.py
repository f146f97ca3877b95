"""What becomes of signals and gradients in a deep dense network before it is trained, on the user's own inputs."""

import math
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.foundations.asked import invalid, who
from interpolants.foundations.kinds import Count, NonNegative, Positive
from interpolants.framework.capabilities import capability, verb
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.kernels.activation_averages import activation_of
from interpolants.kernels.criticality import CriticalPoint, NotCriticalError, critical_point
from interpolants.kernels.layer_recursions import LayerStatistics, kernels, layer_statistics
from interpolants.sciml.theory.sampled_networks import Ensemble

verb("propagate", "x")

CRITICAL = "critical"
# Depth over width above which the first order in 1 / width says little.
_SMALL_RATIO = 1.0


class SignalPropagation(Method):
    """Statistics of a dense network ``z' = b + W s(z)`` at its initialisation, exact to first order in 1 / width.

    ::

        model = SignalPropagation(activation="tanh", depth=30, width=100).fit(X)
        model.propagate(X)                # (N, 30): variance of the pre-activations of each layer, by row
        model.critical                    # C_W, C_b, K*, and what becomes of the signal there
        print("\\n".join(model.diagnosis))

    Raises:
        InvalidInputError: If a setting is out of range, one variance alone is ``"critical"``, or the activation has no
            critical point; when fitted also if rows are zero or the signal leaves the range of numbers.

    Source: Roberts, Yaida & Hanin (2022), arXiv:2106.10165.
    """

    only_cpu: ClassVar[str] = "its recursions are in float64"
    noun: ClassVar[str] = "theory"

    activation: Any = "tanh"
    """``"tanh"``, ``"relu"``, ``"gelu"``, ...: a name of :data:`interpolants.kernels.ACTIVATIONS`; or a function of a
    tensor, entry by entry, which files do not hold: pass it to ``load`` again."""
    depth: Count = 30
    """Layers of weights."""
    width: Annotated[int, Ge(2)] = 100
    """Neurons of a hidden layer."""
    weight_variance: Literal["critical"] | Positive = "critical"
    """C_W: weights have the variance ``C_W / fan_in``; ``"critical"`` for that which keeps signals and gradients.
    PyTorch's linear layer has 1/3."""
    bias_variance: Literal["critical"] | NonNegative = "critical"
    """C_b; ``"critical"`` as well. PyTorch's linear layer has ``1 / (3 width)``."""
    weight_rate: NonNegative = 1.0
    """l_W: gradient steps of weights are scaled by ``l_W / fan_in``, for the tangent kernel."""
    bias_rate: NonNegative = 0.0
    """l_b: those of biases."""

    def check_settings(self) -> None:
        """Refuse one variance alone that is critical, and what cannot be critical."""
        if (self.weight_variance == CRITICAL) != (self.bias_variance == CRITICAL):
            found = f"{self.weight_variance!r} and {self.bias_variance!r}"
            raise invalid("weight_variance and bias_variance must both be 'critical' or both numbers", found)
        self._point = _point(self.activation, needed=self.weight_variance == CRITICAL)

    def roles(self) -> tuple[Role, ...]:
        """Inputs of the network."""
        return (Role(name="x", exact=True, about="Inputs of the network, one row each."),)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Nothing is learnt but how large inputs are."""
        sizes = _mean_squares(data["x"])
        if not bool((sizes > 0).all()) and not self.variances[1]:
            rule = "rows must not be zero where there are no biases: no signal enters"
            raise invalid(rule, f"{int((sizes == 0).sum())} of {len(sizes)} rows of zeros")
        typical = float(sizes.median())
        self._statistics(torch.tensor([float(sizes.min()), typical, float(sizes.max())]))
        return {"mean_square": typical, "size": data["x"][0].numel()}

    # --- answers

    @property
    def critical(self) -> CriticalPoint | None:
        """The critical point of the activation; None if there is none."""
        return self._point

    @property
    def variances(self) -> tuple[float, float]:
        """C_W and C_b of this network."""
        if self.weight_variance == CRITICAL:
            assert self._point is not None
            return self._point.weight_variance, self._point.bias_variance
        return float(self.weight_variance), float(self.bias_variance)

    @property
    def statistics(self) -> LayerStatistics:
        """All statistics for an input of the median size of the fit, each ``(depth,)``."""
        return self._statistics(torch.tensor(self.fitted_state("statistics")["mean_square"]))

    @property
    def ensemble(self) -> Ensemble:
        """The networks that the statistics speak of, to draw them."""
        s, (weight, bias) = activation_of(who(), self.activation), self.variances
        return Ensemble(s, self.depth, self.width, weight, bias, self.weight_rate, self.bias_rate)

    @capability(reads={"x": "x"}, like="layers")
    def propagate(self, x: Tensor) -> Tensor:
        """Variance of the pre-activations of each layer, over networks and neurons.

        Args:
            x: Inputs, ``(N, *D)``.

        Returns:
            ``(N, depth)``.
        """
        weight, bias = self.variances
        sizes = _mean_squares(x)
        return kernels(self.activation, self.depth, sizes, weight_variance=weight, bias_variance=bias)

    def columns(self, name: str) -> tuple[str, ...]:
        """Those of the answer are the layers."""
        if name == "layers":
            return tuple(f"layer_{k}" for k in range(1, self.depth + 1))
        return super().columns(name)

    @property
    def diagnosis(self) -> list[str]:
        """What to expect of this network, in sentences."""
        s = self.statistics
        signal, gradient = float(s.kernel[-1] / s.kernel[0]), float(s.perpendicular[:-1].log().sum())
        told = [
            f"Weights have the variance {self.variances[0]:.4g} / fan_in, biases {self.variances[1]:.4g}.",
            f"From the first to the last layer the signal's variance changes by a factor of {signal:.3g},"
            f" the mean square of a gradient by {math.exp(min(gradient, 700)):.3g}.",
            f"Networks differ: relative variance of a layer's mean square {float(s.spread(self.width)[-1]):.3g},"
            f" of the tangent kernel {float(s.tangent_spread(self.width)[-1]):.3g}.",
        ]
        if self._point is None:
            name = activation_of(who(), self.activation).name
            told.append(f"No initialisation is critical for {name}.")
        elif self._point.universality == "half_stable":
            told.append("The fixed point is half-stable: it attracts from one side alone, slowly.")
        if self.depth / self.width > _SMALL_RATIO:
            told.append("Depth is above width: corrections of higher order are not small.")
        return told

    def _statistics(self, mean_square: Tensor) -> LayerStatistics:
        weight, bias = self.variances
        rates = {"weight_rate": self.weight_rate, "bias_rate": self.bias_rate}
        return layer_statistics(
            self.activation,
            self.depth,
            mean_square=mean_square,
            weight_variance=weight,
            bias_variance=bias,
            **rates,
        )


def _point(activation: object, *, needed: bool) -> CriticalPoint | None:
    try:
        return critical_point(activation)
    except NotCriticalError:
        if needed:
            raise
        return None


def _mean_squares(x: Tensor) -> Tensor:
    """``|x|^2 / fan_in`` by row."""
    return x.double().flatten(1).square().mean(1)
