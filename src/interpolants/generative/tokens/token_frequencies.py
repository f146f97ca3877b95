"""Independent tokens with the frequencies of the data."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from interpolants.foundations.kinds import Count
from interpolants.foundations.randomness import BlockNoise
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run


class TokenFrequencies(Method):
    """Each token by itself, with its frequency in the training data; counts are raised by one."""

    noun: ClassVar[str] = "frequencies"

    def roles(self) -> tuple[Role, ...]:
        """Sequences."""
        return (Role(name="tokens", kind="tokens"),)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Shares of the tokens; the last is that of all tokens that are not known."""
        x = data["tokens"]
        size = max(len(self.given["tokens"].columns), int(x.max()) + 1)
        count = torch.bincount(x.flatten(), minlength=size + 1).double() + 1
        return {"share": count / count.sum(), "length": x.shape[1]}

    @capability(like="tokens")
    def sample(self, n: Count, length: Count | None = None, *, seed: int = 0, first_index: int = 0) -> Any:
        """Draw sequences ``(n, length)``; sequence i belongs to (seed, i).

        Args:
            n: Number of sequences.
            length: Their length; that of the training data when None.
            seed: Seed of the draws.
            first_index: Index of the first sequence in a larger job.
        """
        shape = (self.state["length"] if length is None else length,)
        noise = BlockNoise(
            seed, ("token frequencies",), first=first_index, count=n, shape=shape, dtype=torch.float64
        )
        below = self.state["share"][:-1].cumsum(0)
        return torch.searchsorted(below / below[-1], noise.uniform(), right=True)

    @capability(reads={"x": "tokens"}, like="x")
    def log_prob(self, x: Any) -> Tensor:
        """Log probabilities of sequences, ``(B,)`` in nats."""
        share: Tensor = self.state["share"]
        return share.log()[x.clamp(max=len(share) - 1)].sum(1)
