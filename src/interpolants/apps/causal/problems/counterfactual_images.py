"""Images of scenes whose causes are known, so that what they would have looked like is known too."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from torch import Generator, Tensor

from interpolants.apps.causal.causal_graph import CausalGraph


@runtime_checkable
class CounterfactualImages(Protocol):
    """A problem of images with factors, a causal graph of these, and the counterfactual of every scene.

    A scene is a row of numbers: all that an image is made of.

    Attributes:
        graph: The graph of the factors.
    """

    graph: CausalGraph

    def sample(self, n: int, *, generator: Generator | None = None) -> Mapping[str, Tensor]:
        """Images ``x``, ``factors`` (NaN where unknown) and ``scene``, row by row."""
        ...

    def images(self, scene: Tensor) -> Tensor:
        """Images ``(N, C, H, W)`` of scenes."""
        ...

    def factors(self, scene: Tensor) -> Tensor:
        """All factors of scenes, ``(N, n)``."""
        ...

    def act(self, scene: Tensor, name: str, value: Tensor) -> Tensor:
        """The scenes as they would be had a factor been set to a value ``(N,)``."""
        ...

    def attainable(self, scene: Tensor, name: str) -> tuple[Tensor, Tensor]:
        """Smallest and largest value that a factor of each scene can be set to, ``(N,)`` each."""
        ...

    def read(self, x: Tensor) -> Tensor | None:
        """Factors ``(N, n)`` as measured in images; None where nothing measures them."""
        ...
