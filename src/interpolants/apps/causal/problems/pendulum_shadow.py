"""A rod that hangs from a pivot, a lamp above it, and its shadow on the ground; every counterfactual is known.

Lengths are pixels of an image of 24 x 24; x runs to the right, y upwards, from the lower left pixel.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Interval
from torch import Generator, Tensor

from interpolants.apps.causal.causal_graph import CausalGraph
from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import invalid
from interpolants.foundations.records import record

SIZE = 24
# Pivot, length of the rod, height of the lamp and of the ground; two columns are left free at either side.
_PIVOT, _ROD, _LAMP, _GROUND, _MARGIN = (10.0, 10.5), 8.0, 20.5, -0.5, 2.0
_STEEPEST, _LAMPS = 40.0, (2.0, 18.0)
# What a shadow adds to its geometry: blur of its ends, and a lie of the ground.
_BLUR, _LIE = (0.5, 2.5), 0.5
# Scene: angle, lamp, length and place of the shadow, what these two add, then the style of the picture.
_ANGLE, _LIGHT, _LENGTH, _POSITION, _EXTRA, _SHIFT, _SKY, _RIGHT, _UP, _WIDTH, _GREY = range(11)


@record("pendulum_shadow")
@dataclass(frozen=True, kw_only=True)
class PendulumShadow(Checked):
    """Angle of a rod and place of a lamp, which cause length and place of a shadow; with images of it.

    The shadow is the projection of the rod from the lamp onto the ground. Its length is the projected one and a blur,
    uniform on (0.5, 2.5); the place of its middle is the projected one and a normal number of deviation 0.5: additive
    noise, as structural models have it. Brightness and gradient of the sky, width and grey of the rod are the style of
    each image: no factor tells of them, and a counterfactual keeps them.

    Raises:
        InvalidInputError: If the share is out of range.

    Source: after Yang et al. (2021), arXiv:2004.08697, section 5; constants and styles are ours. The rod hangs:
    upright, the shadow of its tip would leave the image.
    """

    graph: ClassVar[CausalGraph] = CausalGraph(
        ("angle", "light", "length", "position"),
        (("angle", "length"), ("light", "length"), ("angle", "position"), ("light", "position")),
    )

    known: Annotated[float, Interval(gt=0, le=1)] = 1.0
    """Share of rows whose factors are told; the others have NaN."""

    def sample(self, n: int, *, generator: Generator | None = None) -> dict[str, Tensor]:
        """Images ``x (n, 1, 24, 24)`` in [0, 1], ``factors (n, 4)`` and ``scene (n, 11)``.

        Factors are the angle in degrees, the place of the lamp, and length and middle of the shadow, in pixels.

        Args:
            n: Rows.
            generator: Source of the scenes.
        """
        low = torch.tensor([-_STEEPEST, _LAMPS[0], 0, 0, _BLUR[0], 0, 0.0, -0.1, -0.1, 0.7, 0.75])
        high = torch.tensor([_STEEPEST, _LAMPS[1], 0, 0, _BLUR[1], 0, 0.15, 0.1, 0.1, 1.3, 1.0])
        drawn = low + (high - low) * torch.rand(n, 11, generator=generator, dtype=torch.float64)
        drawn[:, _SHIFT] = _LIE * torch.randn(n, generator=generator, dtype=torch.float64)
        scene = self._with_shadow(drawn.float())
        told = torch.rand(n, 1, generator=generator, dtype=torch.float64) < self.known
        factors = torch.where(told, self.factors(scene), float("nan"))
        return {"x": self.images(scene), "factors": factors.float(), "scene": scene.float()}

    def projected(self, angle: Tensor, light: Tensor) -> tuple[Tensor, Tensor]:
        """Length and middle of the shadow of a thin rod, by similar triangles.

        Args:
            angle: Degrees, positive to the right.
            light: Place of the lamp.
        """
        turn = torch.deg2rad(angle)
        tip = (_PIVOT[0] + _ROD * turn.sin(), _PIVOT[1] - _ROD * turn.cos())
        ends = [light + (x - light) * (_LAMP - _GROUND) / (_LAMP - y) for x, y in (_PIVOT, tip)]
        return (ends[1] - ends[0]).abs(), (ends[0] + ends[1]) / 2

    def _with_shadow(self, scene: Tensor) -> Tensor:
        length, middle = self.projected(scene[:, _ANGLE], scene[:, _LIGHT])
        found = scene.clone()
        found[:, _LENGTH], found[:, _POSITION] = length + scene[:, _EXTRA], middle + scene[:, _SHIFT]
        return found

    def factors(self, scene: Tensor) -> Tensor:
        """Angle, lamp, length and middle of the shadow, ``(N, 4)``."""
        return scene[:, : _POSITION + 1]

    def act(self, scene: Tensor, name: str, value: Tensor) -> Tensor:
        """The scenes had a factor been set to ``value (N,)``; what is not its effect stays."""
        found = scene.clone()
        found[:, self.graph.place(name)] = value.to(scene)
        return self._with_shadow(found) if self.graph.descendants(name) else found

    def attainable(self, scene: Tensor, name: str) -> tuple[Tensor, Tensor]:
        """Limits of a factor, ``(N,)`` each: of the shadow such as keep most of it in the image."""
        limits = {
            "angle": (-_STEEPEST, _STEEPEST),
            "light": _LAMPS,
            "length": (1.0, 9.0),
            "position": (5.0, 16.0),
        }
        low, high = limits[self.graph.names[self.graph.place(name)]]
        return scene.new_full((len(scene),), low), scene.new_full((len(scene),), high)

    def read(self, x: Tensor) -> Tensor | None:
        """Nothing measures the factors in an image: regressions read them."""
        return None

    def images(self, scene: Tensor) -> Tensor:
        """Images ``(N, 1, 24, 24)`` in [0, 1]: sky, lamp, rod with its bob, and shadow, with soft edges."""
        if scene.ndim != 2 or scene.shape[1] != _GREY + 1:
            raise invalid("PendulumShadow.images", "scenes must have shape (N, 11)", tuple(scene.shape))
        column = {k: value[:, None, None] for k, value in enumerate(scene.double().unbind(1))}
        line = torch.arange(SIZE, dtype=torch.float64) - _MARGIN
        x, y = line[None, None, :], line.flip(0)[None, :, None]
        right, up = (x - _PIVOT[0]) / 12, (y - _PIVOT[1]) / 12
        sky = 0.3 + column[_SKY] + column[_RIGHT] * right + column[_UP] * up
        turn = torch.deg2rad(column[_ANGLE])
        tip = (_PIVOT[0] + _ROD * turn.sin(), _PIVOT[1] - _ROD * turn.cos())
        rod = _soft(column[_WIDTH] - _to_segment(x, y, _PIVOT, tip))
        bob = _soft(column[_WIDTH] + 0.8 - ((x - tip[0]).square() + (y - tip[1]).square()).sqrt())
        lamp = _soft(1.5 - ((x - column[_LIGHT]).square() + (y - _LAMP).square()).sqrt())
        half = column[_LENGTH] / 2
        dark = _soft(half - (x - column[_POSITION]).abs()) * _soft(1.0 - (y - _GROUND).abs())
        lit = torch.maximum(sky, column[_GREY] * torch.maximum(rod, bob))
        return (torch.maximum(lit, lamp) * (1 - dark)).clamp(0, 1).float()[:, None]


def _soft(inside: Tensor) -> Tensor:
    """1 inside, 0 outside, over a pixel."""
    return torch.sigmoid(4 * inside)


def _to_segment(x: Tensor, y: Tensor, start: tuple[float, float], end: tuple[Tensor, Tensor]) -> Tensor:
    """Distance of points from a segment."""
    a, b = end[0] - start[0], end[1] - start[1]
    share = (((x - start[0]) * a + (y - start[1]) * b) / (a.square() + b.square())).clamp(0, 1)
    return ((x - start[0] - share * a).square() + (y - start[1] - share * b).square()).sqrt()
