"""Patches of photographs beside the same patches with a square left out: two linked images."""

from dataclasses import replace

from interpolants.data.bundled import Dataset, Split, reads
from interpolants.data.sets.photographs import PHOTOGRAPHS, load_photographs
from interpolants.foundations.checks import one_of, whole
from interpolants.foundations.errors import invalid

PARTS = ("image", "masked")


@reads(PHOTOGRAPHS["camera"])
def load_masked_patches(
    split: Split = "train", *, part: str = "image", size: int = 8, hidden: int = 4, stride: int = 16
) -> Dataset:
    """Square grey patches of the bundled photographs, whole or with their middle left out.

    Args:
        split: ``train``, ``test`` or ``all``; no pixel is in both.
        part: ``"image"``, or ``"masked"``: the same patches, row by row, with 0 in a square in the middle.
        size: Side of a patch in pixels.
        hidden: Side of the square, of the same parity and smaller.
        stride: Distance between neighbouring patches in pixels.

    Returns:
        ``x`` (N, 1, size, size) in [-1, 1].

    Raises:
        InvalidInputError: If an argument is out of range.
    """
    one_of("load_masked_patches", "part", part, PARTS)
    whole("load_masked_patches", "hidden", hidden, at_least=1, at_most=size - 1)
    if hidden % 2 != size % 2:
        rule = f"hidden must be {'odd' if size % 2 else 'even'}, as size is, to lie in the middle"
        raise invalid("load_masked_patches", rule, hidden, f"For example, use size={size + 1}.")
    found = load_photographs(split, size=size, stride=stride)
    x, first = found.x.clone(), (size - hidden) // 2
    if part == "masked":
        x[..., first : first + hidden, first : first + hidden] = 0.0
    return Dataset(x, found.labels, replace(found.info, name="masked_patches"))
