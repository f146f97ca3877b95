"""Rivals of counterfactuals and of codes: images as they are, and principal components."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from interpolants.foundations.asked import invalid
from interpolants.foundations.kinds import Count
from interpolants.framework.capabilities import capability, verb
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run

verb("counterfactual", "x")


class UnchangedImages(Method):
    """Images as they are, whatever is set: what any counterfactual must beat, and what keeps everything else."""

    noun: ClassVar[str] = "rival"

    def roles(self) -> tuple[Role, ...]:
        """Images, of which it learns nothing."""
        return (Role(name="x"),)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Nothing."""
        return {}

    @capability(like="x")
    def counterfactual(self, x: Tensor, *, do: Any = None) -> Tensor:
        """The rows, ``(B, *D)``.

        Args:
            x: Rows.
            do: What is set; it has no effect.
        """
        return x


class PrincipalCodes(Method):
    """The first principal components of images as their codes: an encoder that was told no factor.

    Raises:
        InvalidInputError: If there are more than numbers in an image or rows.
    """

    noun: ClassVar[str] = "rival"

    components: Count = 2
    """Numbers of a code."""

    def roles(self) -> tuple[Role, ...]:
        """Images."""
        return (Role(name="x"),)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Mean and directions, each with its largest entry positive."""
        x = data["x"].flatten(1).double()
        if self.components > min(x.shape):
            rule = f"components must be at most {min(x.shape)}, of rows and entries"
            raise invalid(rule, self.components)
        mean = x.mean(0)
        _, _, directions = torch.linalg.svd(x - mean, full_matrices=False)
        kept = directions[: self.components]
        largest = kept.gather(1, kept.abs().argmax(1, keepdim=True))
        return {"mean": mean, "directions": (kept * largest.sign()).T.contiguous()}

    @capability(blocks=True)
    def encode(self, x: Tensor) -> Tensor:
        """Codes ``(B, components)`` of rows."""
        found: Tensor = (x.flatten(1).double() - self.state["mean"]) @ self.state["directions"]
        return found
