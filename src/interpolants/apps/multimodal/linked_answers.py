"""Answers of linked modalities: what was given in the place of what was drawn or expected, and rows in blocks."""

from collections.abc import Mapping

import torch
from torch import Tensor

from interpolants.apps.multimodal.modality_roles import is_there
from interpolants.apps.multimodal.shared_space import Modality, SharedSpace
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import BLOCK
from interpolants.framework.labels import listed_labels


def padded(z: Tensor, t: Tensor, cond: Tensor, first: int) -> tuple[Tensor, Tensor, Tensor]:
    """64 rows from ``first`` on, filled up with the first of them."""
    parts = [x[first : first + BLOCK] for x in (z, cond)]
    short = BLOCK - len(parts[0])
    wide = [torch.cat([x, x[:1].expand(short, *x.shape[1:])]) for x in parts]
    return wide[0], t, wide[1]


def with_own(mean: Tensor, value: Tensor | None, part: Modality) -> Tensor:
    """What is expected of a modality, with what was given of it in its place; labels as zeros and ones."""
    if value is None:
        return mean
    own = torch.nn.functional.one_hot(value.clamp_min(0), part.size) if part.is_label else value
    there = is_there(value).reshape(-1, *(1,) * (mean.ndim - 1))
    return torch.where(there, own.to(mean), mean)


def with_given(
    drawn: dict[str, Tensor], given: Mapping[str, Tensor], space: SharedSpace
) -> dict[str, Tensor]:
    """What was given, where it is there, in place of what the state says of it."""
    found = dict(drawn)
    for name, value in given.items():
        if name not in drawn:
            found[name] = value
            continue
        there = is_there(value).reshape(-1, *(1,) * (value.ndim - 1))
        found[name] = torch.where(there, value, drawn[name].to(value.dtype))
    return found


def check_codes(who: str, name: str, codes: Tensor, part: Modality) -> None:
    """Refuse labels that the fit has not seen; -1 is a missing one."""
    labels = part.in_fit.nonzero().flatten().tolist()
    if unknown := set(codes.tolist()).difference(labels, [-1]):
        raise invalid(who, f"{name} must be labels of the fit, {listed_labels(labels)}", max(unknown))
