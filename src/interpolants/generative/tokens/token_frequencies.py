"""Independent tokens with the frequencies of the data."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from interpolants.data.alphabet import END
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Count
from interpolants.foundations.randomness import BlockNoise
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run

# Longest sample, in lengths of the longest sequence of the fit.
_MOST = 4


class TokenFrequencies(Method):
    """Each token by itself, with its frequency in the training data; counts are raised by one.

    Sequences of different lengths end after each token with the same probability.
    """

    noun: ClassVar[str] = "frequencies"

    def roles(self) -> tuple[Role, ...]:
        """Sequences."""
        return (Role(name="tokens", kind="tokens", padded=True),)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Shares of the tokens; the last is that of all tokens that are not known."""
        x = data["tokens"]
        size = max(len(self.given["tokens"].columns), int(x.max()) + 1)
        inside = x != END
        count = torch.bincount(x[inside], minlength=size + 1).double() + 1
        end = 0.0 if bool(inside.all()) else (len(x) + 1) / float(len(x) + 1 + count.sum())
        return {"share": count / count.sum(), "length": x.shape[1], "end": end}

    @capability(like="tokens")
    def sample(self, n: Count, length: Count | None = None, *, seed: int = 0, first_index: int = 0) -> Any:
        """Draw sequences ``(n, length)``; sequence i belongs to (seed, i).

        Args:
            n: Number of sequences.
            length: Their length; when None that of the training data, or, if these differ in length, a random one of
                at most four times the longest.
            seed: Seed of the draws.
            first_index: Index of the first sequence in a larger job.
        """
        end = self.state.get("end", 0.0) if length is None else 0.0
        size = self.state["length"] if length is None else length
        shape = (_MOST * size + 1,) if end else (size,)
        noise = BlockNoise(
            seed, ("token frequencies",), first=first_index, count=n, shape=shape, dtype=torch.float64
        )
        below, uniform = self.state["share"][:-1].cumsum(0), noise.uniform()
        tokens = torch.searchsorted(below / below[-1], uniform, right=True)
        if not end:
            return tokens
        sizes = (1 - uniform[:, :1]).log() / math.log1p(-end)  # geometric: the whole part
        return torch.where(torch.arange(shape[0] - 1) < sizes.floor(), tokens[:, 1:], END)

    @capability(reads={"x": "tokens"}, like="x")
    def log_prob(self, x: Any) -> Tensor:
        """Log probabilities of sequences, ``(B,)`` in nats."""
        share: Tensor = self.state["share"]
        end, inside = self.state.get("end", 0.0), x != END
        logs = share.log()[x.clamp(0, len(share) - 1)]
        if end:
            return torch.where(inside, logs + math.log1p(-end), 0.0).sum(1) + math.log(end)
        if not bool(inside.all()):
            rule = "sequences must be of equal length, like those of the fit"
            raise invalid(
                "TokenFrequencies.log_prob", rule, "several lengths", "Fit with sequences of several."
            )
        return logs.sum(1)
