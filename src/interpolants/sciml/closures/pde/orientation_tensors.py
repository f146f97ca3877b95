"""Tensors of orientation, as others store them, and the complex moments that ``active_fluid`` uses.

``D = int p p psi`` and ``S = int p p p p psi`` of directions ``p = (cos phi, sin phi)``, not divided by the
concentration c; ``z_n = int e^{2 i n phi} psi``. In two dimensions D is c and z_1, S is c, z_1 and z_2.
"""

import torch
from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.sciml.closures.pde.active_fluid import complex_moments, real_moments

# How far tensors may be from symmetric, and moments from those of a density, relative to c.
_TOLERANCE = 1e-3


def moments_of_second(second: Tensor) -> Tensor:
    """Fields ``(..., 3, n, n)``, c and z_1, of tensors D ``(..., 2, 2, n, n)``.

    Raises:
        InvalidInputError: If D is not symmetric, its trace is not positive, or an eigenvalue is negative.
    """
    who = "moments_of_second"
    if second.ndim < 4 or second.shape[-4:-2] != (2, 2):
        raise invalid(who, "D must be (..., 2, 2, n, n)", tuple(second.shape))
    gap = (second[..., 0, 1, :, :] - second[..., 1, 0, :, :]).abs().amax()
    if float(gap) > _TOLERANCE * float(second.abs().amax()):
        raise invalid(who, "D must be symmetric", f"entries that differ by {float(gap):.3g}")
    c = second[..., 0, 0, :, :] + second[..., 1, 1, :, :]
    along = second[..., 0, 0, :, :] - second[..., 1, 1, :, :]
    across = second[..., 0, 1, :, :] + second[..., 1, 0, :, :]
    fields = torch.stack([c, along, across], -3)
    check_moments(who, fields)
    return fields


def second_of_moments(fields: Tensor) -> Tensor:
    """D ``(..., 2, 2, n, n)`` of fields ``(..., 2 N + 1, n, n)``."""
    c, along, across = (fields[..., k, :, :] for k in range(3))
    rows = [torch.stack([c + along, across], -3), torch.stack([across, c - along], -3)]
    return 0.5 * torch.stack(rows, -4)


def fourth_of_moments(fields: Tensor) -> Tensor:
    """S ``(..., 2, 2, 2, 2, n, n)`` of fields ``(..., >= 5, n, n)``."""
    c, z = complex_moments(fields)
    first, second = z[..., 0, :, :], z[..., 1, :, :]
    # Means of cos^(4 - k) sin^k by how many of the four indices are y.
    by_count = [
        3 * c / 8 + first.real / 2 + second.real / 8,
        first.imag / 4 + second.imag / 8,
        c / 8 - second.real / 8,
        first.imag / 4 - second.imag / 8,
        3 * c / 8 - first.real / 2 + second.real / 8,
    ]
    entries = [by_count[bin(k).count("1")] for k in range(16)]
    found = torch.stack(entries, -3)
    return found.reshape(*found.shape[:-3], 2, 2, 2, 2, *found.shape[-2:])


def moments_of_fourth(fourth: Tensor) -> Tensor:
    """Fields ``(..., 5, n, n)``, c, z_1 and z_2, of symmetric tensors S ``(..., 2, 2, 2, 2, n, n)``.

    Raises:
        InvalidInputError: If S has another shape, or no density has these moments.
    """
    if fourth.ndim < 6 or fourth.shape[-6:-2] != (2, 2, 2, 2):
        raise invalid("moments_of_fourth", "S must be (..., 2, 2, 2, 2, n, n)", tuple(fourth.shape))
    xxxx, xxxy, xxyy, xyyy, yyyy = (
        fourth[..., a, b, c, d, :, :]
        for a, b, c, d in ((0, 0, 0, 0), (0, 0, 0, 1), (0, 0, 1, 1), (0, 1, 1, 1), (1, 1, 1, 1))
    )
    c = xxxx + 2 * xxyy + yyyy
    first = torch.complex(xxxx - yyyy, 2 * (xxxy + xyyy))
    second = torch.complex(xxxx - 6 * xxyy + yyyy, 4 * (xxxy - xyyy))
    fields = torch.cat([c[..., None, :, :], real_moments(torch.stack([first, second], -3))], -3)
    check_moments("moments_of_fourth", fields)
    return fields


def check_moments(who: str, fields: Tensor) -> None:
    """Refuse fields ``(..., 2 N + 1, n, n)`` that are not the moments of a density.

    Raises:
        InvalidInputError: If a number is not finite, c is not positive, ``|z_1| > c``, or z_2 is further from
            ``z_1^2 / c`` than ``c - |z_1|^2 / c``.
    """
    if not bool(fields.isfinite().all()):
        raise invalid(who, "moments must be finite", "nan or inf")
    c, z = complex_moments(fields)
    if float(c.min()) <= 0:
        raise invalid(who, "the concentration c, the trace of D, must be positive", float(c.min()))
    order = z[..., 0, :, :].abs() / c
    if float(order.max()) > 1 + _TOLERANCE:
        remedy = "Moments are not divided by c: z_1 = D_11 - D_22 + 2 i D_12, c = D_11 + D_22."
        raise invalid(who, "|z_1| must be at most c", f"|z_1| / c = {float(order.max()):.4g}", remedy)
    if z.shape[-3] > 1:
        gap = (z[..., 1, :, :] / c - (z[..., 0, :, :] / c).square()).abs() - (1 - order.square())
        if float(gap.max()) > _TOLERANCE:
            rule = "|z_2 - z_1^2 / c| must be at most c - |z_1|^2 / c"
            raise invalid(who, rule, f"more by {float(gap.max()):.3g} c", "No density has these moments.")
