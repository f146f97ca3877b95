"""Classifier of noisy states: any network of the library with a linear layer on its output."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from interpolants.foundations.checks import whole
from interpolants.foundations.row_times import ask
from interpolants.foundations.types import Condition
from interpolants.nets.build import named_net
from interpolants.nets.net import Net, materialise

# Numbers that the linear layer should see at least: small states get more heads.
_FEATURES = 64


class LabelNet(Net):
    """Logits ``f(x, t) -> (B, K)`` of K classes, as guidance by a classifier needs them.

    The state goes through a network with several heads of the state's shape, an activation and a linear layer. The
    untrained network finds all classes equally probable.

    Args:
        shape: Event shape D of the state.
        n_classes: K >= 2.
        net: ``"auto"`` (an MLP for vectors, a U-Net for images), an id, or a table ``{"kind": id, **settings}``.
        heads: Outputs of the inner network, each of the state's shape; chosen by the size of the state when None.
        seed: Seed of the initial weights, >= 0.

    Raises:
        InvalidInputError: For a setting outside its range.
    """

    def __init__(
        self,
        shape: int | Sequence[int],
        *,
        n_classes: int,
        net: Any = "auto",
        heads: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(shape, 1)
        n_classes = whole("LabelNet", "n_classes", n_classes, at_least=2)
        size = math.prod(self.shape)
        # With one head the inner network would return (B, *D), with more (B, heads, *D): flattened, both are vectors.
        inner = (
            max(1, math.ceil(_FEATURES / size))
            if heads is None
            else whole("LabelNet", "heads", heads, at_least=1)
        )
        own = {"shape": list(self.shape), "n_classes": n_classes, "net": net, "heads": heads, "seed": seed}
        self.settings = {"name": "label_net", **own}
        self.n_classes = n_classes
        self.net = named_net(net, self.shape, who="LabelNet", heads=inner, seed=seed)
        with torch.device("meta"):
            self.output = nn.Linear(inner * size, n_classes)
        materialise(self.output, seed)

    def forward(self, x: Tensor, t: Tensor | float, cond: Condition = None) -> Tensor:
        """Evaluate: ``x (B, *D)``, ``t`` 0-d or ``(B,)`` -> logits ``(B, K)``."""
        features = nn.functional.silu(ask(self.net, x, t, cond).flatten(1))
        logits: Tensor = self.output(features)
        return logits
