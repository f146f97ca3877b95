"""Simulated lesions: dark, bright, and of another texture, so that brightness alone does not find them."""

import torch
from torch import Generator, Tensor

from interpolants.foundations.errors import invalid

KINDS = ("dark", "bright", "dark", "swapped")  # in turn: half are dark
_DARK, _BRIGHT, _RADII = 0.55, 1.4, (1.8, 3.2)


def with_lesions(images: Tensor, *, generator: Generator) -> tuple[Tensor, Tensor]:
    """Images with one lesion each, and where it is.

    A disc of 1.8 to 3.2 pixels radius with its middle in the head: times 0.55, times 1.4, or the values of another
    place of the head, turned by a right angle.

    Args:
        images: One channel, values >= 0, zero outside the head, ``(N, 1, H, W)``.
        generator: Source of places and sizes.

    Returns:
        Images of the same shape, and bool masks ``(N, H, W)``.

    Raises:
        InvalidInputError: If an image is empty.
    """
    changed, masks = images.clone(), []
    height, width = images.shape[-2:]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    for k, image in enumerate(images[:, 0]):
        inside = (image > 0.2 * image.max()).nonzero()
        if len(inside) < 2:
            raise invalid(
                "with_lesions",
                "every image must have at least two pixels above 20 % of its maximum",
                f"nothing in image {k}",
            )
        here, there = inside[torch.randint(len(inside), (2,), generator=generator)]
        radius = _RADII[0] + (_RADII[1] - _RADII[0]) * float(torch.rand((), generator=generator))
        mask = ((rows - here[0]).square() + (columns - here[1]).square() <= radius**2) & (image > 0)
        masks.append(mask)
        changed[k, 0][mask] = _values(image, KINDS[k % len(KINDS)], mask, here, there)
    return changed, torch.stack(masks)


def _values(image: Tensor, kind: str, mask: Tensor, here: Tensor, there: Tensor) -> Tensor:
    """Values of the lesion's pixels."""
    if kind != "swapped":
        return image[mask] * (_DARK if kind == "dark" else _BRIGHT)
    offset = mask.nonzero() - here
    turned = torch.stack([offset[:, 1], -offset[:, 0]], 1) + there
    size = torch.tensor(image.shape)
    places = turned.clamp(torch.zeros(2, dtype=torch.long), size - 1)
    return image[places[:, 0], places[:, 1]]
