"""Multilayer perceptron in (x, t, condition); a time shared by the whole batch is embedded once."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from interpolants.foundations.checks import one_of, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.types import Condition
from interpolants.nets.critical import critical_
from interpolants.nets.embeddings import ConditionEmbedding, ConditionKinds, FourierTime
from interpolants.nets.net import Net, materialise


class Activation(NamedTuple):
    """An activation function.

    Attributes:
        call: The function.
        in_place: The same, overwriting its argument where there is such a version.
        gain: ``1 / sqrt(E call(z)^2)`` for z ~ N(0, 1): what keeps the size of the signal from layer to layer.
    """

    call: Callable[[Tensor], Tensor]
    in_place: Callable[[Tensor], Tensor]
    gain: float


# Named: networks that hold one can be pickled, for other processes.
def _silu_(h: Tensor) -> Tensor:
    return functional.silu(h, inplace=True)


def _elu_(h: Tensor) -> Tensor:
    return functional.elu(h, inplace=True)


ACTIVATIONS = {
    "silu": Activation(functional.silu, _silu_, 1.6765),
    "relu": Activation(functional.relu, torch.relu_, math.sqrt(2)),
    "tanh": Activation(torch.tanh, torch.tanh_, 1.5925),
    "elu": Activation(functional.elu, _elu_, 1.2452),
    "gelu": Activation(functional.gelu, functional.gelu, 1.5336),
    "softplus": Activation(functional.softplus, functional.softplus, 1.0419),
}


INITS = ("gain", "critical")


class MLP(Net):
    """Multilayer perceptron on the flattened state, the time features and the condition.

    Plain: ``h = act(W_x x + W_t phi(t) + e(cond) + c)``, then ``h <- act(W h + c)`` for each further layer, then one
    linear output for all heads together. Residual: ``h <- h + W act(norm(h)) + c``.

    With one time for the whole batch, ``W_t phi(t)`` is one vector and joins the bias, so that a call costs the
    same as the bare layers; with a time per row, phi(t) is joined to x. Without gradients the activations overwrite
    their input.

    Args:
        shape: Event shape D of the state, a tuple or a number.
        width: Units of a hidden layer.
        depth: Number of hidden layers, >= 1.
        activation: ``"silu"``, ``"relu"``, ``"tanh"``, ``"elu"``, ``"gelu"`` or ``"softplus"``.
        heads: K outputs of shape D on one trunk.
        time_features: Number of Fourier features of t, even; 0 makes the network ignore t.
        n_classes: Number of labels of the condition, if there are any.
        cond_dim: Length of the condition's vector, if there is one.
        residual: Whether each hidden layer after the first adds to its input; for depths beyond about 6.
        layer_norm: Whether a residual branch starts with a layer norm.
        init: First weights of plain layers: ``"gain"`` keeps the size of a signal of variance 1, ``"critical"`` that of
            any signal and gradient through any depth, see :func:`interpolants.nets.critical_`.
        seed: Seed of the initial weights, >= 0.

    Raises:
        InvalidInputError: For a setting outside its range.
    """

    def __init__(
        self,
        shape: int | Sequence[int],
        *,
        width: int = 256,
        depth: int = 4,
        activation: str = "silu",
        heads: int = 1,
        time_features: int = 16,
        n_classes: int | None = None,
        cond_dim: int | None = None,
        residual: bool = False,
        layer_norm: bool = False,
        init: str = "gain",
        seed: int = 0,
    ) -> None:
        super().__init__(shape, heads)
        width, depth = whole("MLP", "width", width, at_least=1), whole("MLP", "depth", depth, at_least=1)
        one_of("MLP", "activation", activation, ACTIVATIONS)
        one_of("MLP", "init", init, INITS)
        if init == "critical" and residual:
            raise invalid("MLP", 'init="critical" is for plain layers', "residual=True")
        if layer_norm and not residual:
            raise invalid("MLP", "layer_norm goes with residual=True", "residual=False")
        self.settings = {
            "name": "mlp",
            "shape": list(self.shape),
            "width": width,
            "depth": depth,
            "activation": activation,
            "heads": heads,
            "time_features": time_features,
            "n_classes": n_classes,
            "cond_dim": cond_dim,
            "residual": residual,
            "layer_norm": layer_norm,
            "init": init,
            "seed": seed,
        }
        self._size = math.prod(self.shape)
        self._residual = residual
        self._kinds = ConditionKinds(who="MLP", n_classes=n_classes, cond_dim=cond_dim)
        self._out_shape = self.shape if heads == 1 else (heads, *self.shape)
        self._act = ACTIVATIONS[activation]
        with torch.device("meta"):
            self.time = FourierTime(time_features)
            self.condition = ConditionEmbedding(width, self._kinds)
            self.input = nn.Linear(self._size + time_features, width)
            self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))
            self.norms = nn.ModuleList(
                nn.LayerNorm(width) if layer_norm else nn.Identity() for _ in range(depth if residual else 0)
            )
            self.output = nn.Linear(width, heads * self._size)
        self._initialise(seed)
        if init == "critical" and depth > 1:
            critical_(self.hidden, activation, seed=seed)

    def _initialise(self, seed: int) -> None:
        """Signals of the same size in every layer, state and time of equal weight, and an output that starts at zero.

        Without the gain the signal of a SiLU network fades by 0.6 per layer, and learning is visibly slower.
        """
        gain = 1.0 if self._residual else self._act.gain
        counts = torch.tensor(
            [self._size] * self._size + [self.time.features] * self.time.features, device="cpu"
        )
        parts = torch.sqrt(len(counts) / counts.float())  # of 1 / fan_in, to one over the part's own count
        gains: dict[nn.Module, float | Tensor] = {
            **dict.fromkeys(self.hidden, gain),
            self.input: parts,
            self.output: 0.0,
        }
        materialise(self, seed, gains=gains)

    def forward(self, x: Tensor, t: Tensor | float, cond: Condition = None) -> Tensor:
        """Evaluate: ``x (B, *D)``, ``t`` 0-d or ``(B,)`` -> ``(B, *D)``, or ``(B, K, *D)`` for K > 1 heads."""
        h = self.stem(x, t, cond)
        h = self._residual_layers(h) if self._residual else self._plain_layers(h)
        out: Tensor = self.output(h)
        return out.reshape(x.shape[0], *self._out_shape)

    def _first(self, flat: Tensor, t: Tensor, x: Tensor, cond: Condition) -> Tensor:
        """Pre-activations of the first layer, (B, width)."""
        weight: Tensor = self.input.weight
        bias: Tensor = self.input.bias
        if self.time.features:
            phi = self.time(t).to(weight.dtype)
            if t.ndim == 0:
                bias = functional.linear(phi, weight[:, self._size :], bias)
                weight = weight[:, : self._size]
            else:
                flat = torch.cat([flat, phi], 1)
        bias = self.condition(self._kinds.split(cond, x), bias)
        return torch.addmm(bias, flat, weight.t())

    def _plain_layers(self, h: Tensor) -> Tensor:
        act = self._act.call if torch.is_grad_enabled() else self._act.in_place
        h = act(h)
        for layer in self.hidden:
            h = act(layer(h))
        return h

    def _residual_layers(self, h: Tensor) -> Tensor:
        for index in range(len(self.hidden)):
            h = self._residual_layer(index, h)
        return self._act.call(self.norms[-1](h))

    def _residual_layer(self, index: int, h: Tensor) -> Tensor:
        return h + self.hidden[index](self._act.call(self.norms[index](h)))  # type: ignore[no-any-return]

    # --- layers, each of which may be followed by a head

    @property
    def n_layers(self) -> int:
        """Residual layers; 0 for a plain network, whose layers hand on no common state."""
        return len(self.hidden) if self._residual else 0

    @property
    def width(self) -> int:
        """Units of a hidden layer."""
        return self.input.out_features

    @property
    def per_token(self) -> int:
        """Entries of the output: the state is one token."""
        return self.output.out_features

    def stem(self, x: Tensor, t: Tensor | float, cond: Condition = None) -> Tensor:
        """The first layer, ``(B, width)``, before its activation."""
        t = self.checked_time(x, t, self.output.weight)
        return self._first(x.reshape(x.shape[0], self._size), t, x, cond)

    def layer(self, index: int, state: Tensor) -> Tensor:
        """The state after a residual layer."""
        return self._residual_layer(index, state)

    def tokens(self, state: Tensor) -> Tensor:
        """One token, ``(B, 1, width)``."""
        return state[:, None]

    def head(self, state: Tensor) -> Tensor:
        """The last activation and the output."""
        return self.arranged(self.output(self._act.call(self.norms[-1](state))))

    def arranged(self, values: Tensor) -> Tensor:
        """``(B, 1, per_token)`` or ``(B, per_token)`` as ``(B, *D)``, or ``(B, K, *D)``."""
        return values.reshape(values.shape[0], *self._out_shape)

    def rows(self, state: Tensor, index: Tensor) -> Tensor:
        """The state of some rows."""
        return state[index]
