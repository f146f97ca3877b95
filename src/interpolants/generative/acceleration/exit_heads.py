"""Heads after every layer of a network, and estimates of how wrong each of them is.

Letters: N layers, L tokens of width E, P entries of the answer per token; g_i the answer of a head after layer i,
u_i in (0, 1) the estimate of an error there, for every entry of the answer.

Source: Tang et al. (2024), arXiv:2309.17074; separate heads, time features and a second estimate, of the gap to the
last layer, are choices of ours.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from interpolants.foundations.checks import one_of, whole
from interpolants.foundations.remembered import Remembered
from interpolants.nets.embeddings import FourierTime
from interpolants.nets.net import materialise
from interpolants.nets.split import LayeredNet

# What is estimated: the error against the truth, and the gap to the answer of the last layer.
ESTIMATES = ("error", "gap")


class ExitHeads(Remembered, id="exit_heads"):
    """A head and two estimates after each layer but the last, which keeps the network's own head.

    ``u_i = sigmoid(w_i [norm(tokens), phi(t)] + b_i)``, one linear map per layer. Heads start at zero.

    Args:
        n_layers: N >= 2.
        width: E.
        per_token: P.
        head: ``"separate"`` for a norm and a linear map per layer, or ``"shared"`` for the network's own head.
        time_features: Number of Fourier features of t in the estimates, even; 0 for none.
        seed: Seed of the initial weights.

    Raises:
        InvalidInputError: For a setting out of range.
    """

    def __init__(
        self,
        n_layers: int,
        width: int,
        per_token: int,
        *,
        head: str = "separate",
        time_features: int = 16,
        seed: int = 0,
    ) -> None:
        super().__init__()
        whole("ExitHeads", "n_layers", n_layers, at_least=2)
        one_of("ExitHeads", "head", head, ("separate", "shared"))
        self.n_layers, self.width = n_layers, width
        many = range(n_layers - 1)
        with torch.device("meta"):
            self.time = FourierTime(time_features)
            self.heads = nn.ModuleList(
                nn.Sequential(nn.LayerNorm(width), nn.Linear(width, per_token))
                for _ in (many if head == "separate" else ())
            )
            self.estimates = nn.ModuleDict(
                {
                    name: nn.ModuleList(nn.Linear(width + time_features, per_token) for _ in many)
                    for name in ESTIMATES
                }
            )
        materialise(
            self,
            seed,
            gains=dict.fromkeys([one for one in self.modules() if isinstance(one, nn.Linear)], 0.0),
        )

    def answer(self, net: LayeredNet, index: int, state: Any) -> Tensor:
        """g_i from the state after layer ``index``; of the last layer, and of a shared head, the network's own."""
        if index == self.n_layers - 1 or not len(self.heads):
            return net.head(state)
        return net.arranged(self.heads[index](net.tokens(state)))

    def estimate(self, name: str, index: int, tokens: Tensor, t: Tensor) -> Tensor:
        """u_i of tokens ``(B, L, E)`` at times 0-d or ``(B,)``: ``(B, L, P)``."""
        phi = self.time(t).to(tokens.dtype)
        wide = (phi[:, None] if t.ndim else phi).expand(*tokens.shape[:2], -1)
        normed = functional.layer_norm(tokens, (self.width,))
        layers: Any = self.estimates[name]
        found: Tensor = torch.sigmoid(layers[index](torch.cat([normed, wide], -1)))
        return found
