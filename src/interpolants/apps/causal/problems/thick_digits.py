"""Handwritten digits made thicker, and brighter where they are thicker: both measured, all counterfactuals known."""

import functools
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor
from torch.nn import functional

from interpolants.apps.causal.causal_graph import CausalGraph
from interpolants.apps.causal.metrics.morphology import stroke_intensity, stroke_thickness
from interpolants.data.sets.images import load_digits
from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Positive
from interpolants.foundations.records import record

SIZE = 16
# How far strokes are dilated, in steps of one pixel to each side, and the grid on which thickness is looked up.
_WIDEST, _STEPS = 1.2, 13
# Mean and deviation of thickness over all digits and dilations.
_MEAN, _SPREAD = 4.1406, 0.6955
# Grey below this share of a stroke's brightness is no stroke.
_GROUND = 0.15
# Scene: which digit, how far it is dilated, how bright it is, and its noise of brightness.
_BASE, _FAR, _BRIGHT, _NOISE = range(4)


@record("thick_digits")
@dataclass(frozen=True, kw_only=True)
class ThickDigits(Checked):
    """Digits of 16 x 16 pixels with thickness t and intensity ``i = 0.5 + 0.4 sigmoid((t - m) / s) + noise``.

    Each of the 1,797 digits of scikit-learn is drawn at most once, enlarged, dilated by a random share of a pixel (grey
    dilation), and scaled so that its intensity is i; m and s are mean and deviation of thickness. Both factors are
    measured in the image, as ``stroke_thickness`` and ``stroke_intensity`` do
    after the darkest greys are taken for ground. A counterfactual keeps the digit and its noise of brightness.

    Source: after Castro et al. (2019), arXiv:1809.10780 (thickness and intensity of digits); the construction is ours.
    """

    graph: ClassVar[CausalGraph] = CausalGraph(("thickness", "intensity"), (("thickness", "intensity"),))

    noise: Positive = 0.1
    """Deviation of the brightness that thickness does not explain."""

    def sample(self, n: int, *, generator: Generator | None = None) -> dict[str, Tensor]:
        """Images ``x (n, 1, 16, 16)``, ``factors (n, 2)``, ``scene (n, 4)`` and ``label (n, 1)``.

        Args:
            n: Rows, at most 1,797: no digit comes twice, so that none is in two parts of a split.
            generator: Source of dilation and noise.

        Raises:
            InvalidInputError: If there are more rows than digits.
        """
        base, labels = _digits()
        whole("ThickDigits.sample", "n", n, at_least=1, at_most=len(base))
        pick = torch.randperm(len(base), generator=generator)[:n]
        far = _WIDEST * torch.rand(n, generator=generator, dtype=torch.float64)
        noise = self.noise * torch.randn(n, generator=generator, dtype=torch.float64)
        scene = self._brightened(torch.stack([pick.double(), far, noise, noise], 1))
        label = labels[pick].double()[:, None]
        return {
            "x": self.images(scene),
            "factors": self.factors(scene).float(),
            "scene": scene,
            "label": label,
        }

    def _brightened(self, scene: Tensor) -> Tensor:
        found = scene.clone()
        found[:, _BRIGHT] = self.expected_intensity(self._thickness(scene)) + scene[:, _NOISE]
        return found

    def expected_intensity(self, thickness: Tensor) -> Tensor:
        """Intensity of a thickness in pixels, without its noise."""
        return 0.5 + 0.4 * torch.sigmoid((thickness.double() - _MEAN) / _SPREAD)

    def _thickness(self, scene: Tensor) -> Tensor:
        return _measured(_dilated(_digits()[0][scene[:, _BASE].long()], scene[:, _FAR]))[0]

    def images(self, scene: Tensor) -> Tensor:
        """Images ``(N, 1, 16, 16)`` whose intensity is that of the scenes."""
        if scene.ndim != 2 or scene.shape[1] != _NOISE + 1:
            raise invalid("ThickDigits.images", "scenes must have shape (N, 4)", tuple(scene.shape))
        strokes = _dilated(_digits()[0][scene[:, _BASE].long()], scene[:, _FAR])
        bright = scene[:, _BRIGHT] / _measured(strokes)[1]
        return (strokes * bright[:, None, None]).float()[:, None]

    def factors(self, scene: Tensor) -> Tensor:
        """Thickness in pixels and intensity, ``(N, 2)``."""
        return torch.stack([self._thickness(scene), scene[:, _BRIGHT].double()], 1)

    def act(self, scene: Tensor, name: str, value: Tensor) -> Tensor:
        """The scenes had a factor been set to ``value (N,)``; a thickness that a digit cannot have is the nearest."""
        found = scene.double().clone()
        if name == self.graph.names[1]:
            found[:, _BRIGHT] = value.to(found)
            return found
        self.graph.place(name)
        found[:, _FAR] = _far_for(_table(found[:, _BASE]), value.double())
        return self._brightened(found)

    def attainable(self, scene: Tensor, name: str) -> tuple[Tensor, Tensor]:
        """Smallest and largest value of a factor for each digit, ``(N,)`` each."""
        if name == self.graph.names[1]:
            return scene.new_full((len(scene),), 0.55), scene.new_full((len(scene),), 0.95)
        self.graph.place(name)
        table = _table(scene[:, _BASE])
        return table[:, 0].to(scene), table[:, -1].to(scene)

    def read(self, x: Tensor) -> Tensor | None:
        """Thickness and intensity as measured in images ``(N, 1, 16, 16)``, ``(N, 2)``; negative greys count as 0."""
        return torch.stack(_measured(x.double().mean(1).clamp_min(0)), 1)


def _measured(grey: Tensor) -> tuple[Tensor, Tensor]:
    """Thickness and intensity of grey images ``(N, H, W)``."""
    grey = grey + 1e-9
    bright = stroke_intensity(grey)
    return stroke_thickness((grey - _GROUND * bright[:, None, None]).clamp_min(0)), bright


def _dilated(base: Tensor, far: Tensor) -> Tensor:
    """Digits dilated by a share of a pixel to each side: between whole steps, a mixture."""
    steps = [base]
    while len(steps) <= _WIDEST + 1:
        steps.append(functional.max_pool2d(steps[-1][:, None], 3, stride=1, padding=1)[:, 0])
    first = far.floor().long().clamp(0, len(steps) - 2)
    rows, stacked = torch.arange(len(base)), torch.stack(steps, 1)
    share = (far - first)[:, None, None].to(base)
    return (1 - share) * stacked[rows, first] + share * stacked[rows, first + 1]


@functools.cache
def _digits() -> tuple[Tensor, Tensor]:
    """All digits ``(N, 16, 16)`` in [0, 1], float64, and their labels."""
    found = load_digits("all")
    grey = (found.x.double() + 1) / 2
    wide = functional.interpolate(grey, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
    assert found.labels is not None
    return wide[:, 0], found.labels


def _table(bases: Tensor) -> Tensor:
    """Thickness of some digits on a grid of dilations, ``(N, steps)``, made to grow along it."""
    base = _digits()[0][bases.long()]
    grid = torch.linspace(0, _WIDEST, _STEPS, dtype=torch.float64)
    found = torch.stack([_measured(_dilated(base, far.expand(len(base))))[0] for far in grid], 1)
    return found.cummax(1).values


def _far_for(table: Tensor, thickness: Tensor) -> Tensor:
    """Dilation of a thickness by linear interpolation in rows of a table that grows."""
    place = torch.searchsorted(table, thickness[:, None].clamp(table[:, :1], table[:, -1:])).clamp(
        1, _STEPS - 1
    )
    low, high = table.gather(1, place - 1)[:, 0], table.gather(1, place)[:, 0]
    share = ((thickness - low) / (high - low).clamp_min(1e-9)).clamp(0, 1)
    return (place[:, 0] - 1 + share) * _WIDEST / (_STEPS - 1)
