"""Shape of bright strokes on a dark ground: how thick and how bright they are, image by image."""

from torch import Tensor
from torch.nn import functional

from interpolants.foundations.errors import invalid


def stroke_thickness(x: Tensor) -> Tensor:
    """Thickness of strokes in pixels, ``(N,)``: twice the area over the length of the outline.

    Area is the sum of grey values over their largest, outline the sum of lengths of their gradients (total variation).
    A bar of width w and length L has ``w L / (w + L)``, near w where it is long. Brightness does not matter.

    Args:
        x: Images ``(N, C, H, W)`` or ``(N, H, W)``, 0 where there is no stroke, not negative.

    Raises:
        InvalidInputError: If the shape is another, or an image is negative or empty.
    """
    grey = _grey("stroke_thickness", x)
    share = grey / grey.flatten(1).amax(1)[:, None, None]
    edged = functional.pad(share, (1, 1, 1, 1))
    down, right = edged.diff(dim=1)[:, :, :-1], edged.diff(dim=2)[:, :-1]
    return 2 * share.flatten(1).sum(1) / (down.square() + right.square()).sqrt().flatten(1).sum(1)


def stroke_intensity(x: Tensor) -> Tensor:
    """Brightness of strokes, ``(N,)``: the mean grey value, each pixel weighed by its own, ``sum x^2 / sum x``.

    Where all of a stroke has one value it is that value, whatever the stroke covers.

    Args:
        x: As in :func:`stroke_thickness`.

    Raises:
        InvalidInputError: As :func:`stroke_thickness`.
    """
    flat = _grey("stroke_intensity", x).flatten(1)
    return flat.square().sum(1) / flat.sum(1)


def _grey(who: str, x: Tensor) -> Tensor:
    """Grey values ``(N, H, W)`` in float64."""
    if x.ndim not in (3, 4):
        raise invalid(who, "images must have shape (N, C, H, W) or (N, H, W)", tuple(x.shape))
    grey = x.double().mean(1) if x.ndim == 4 else x.double()
    flat = grey.flatten(1)
    if not bool((flat >= 0).all()) or not bool((flat.amax(1) > 0).all()):
        rule = "images must be 0 where there is no stroke, and positive somewhere"
        raise invalid(who, rule, f"values from {float(flat.min()):.3g}", "Shift and clip them first.")
    return grey
