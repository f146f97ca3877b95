"""Suspensions of rods that drive a slow flow: kinetic theory in two periodic dimensions, by moments of the orientation.

``psi(x, phi, t)`` is the density of rods with the direction ``p = (cos phi, sin phi)``; p and -p are the same. Its
moments ``z_n = int e^{2 i n phi} psi dphi``, ``z_0 = c`` the concentration and z_1 the nematic order, obey

    d_t z_n = -div(u z_n) + i n w z_n + n (a z_{n-1} - conj(a) z_{n+1}) - 4 n^2 d_R z_n + d_T Lap z_n,

with ``a = e + zeta z_1``, the strain rate ``e = E_11 + i E_12`` and the vorticity ``w = d_x u_y - d_y u_x`` of a flow
that the stress of the rods drives: ``-Lap u + grad Pi = div Sigma``, ``div u = 0``. Each moment needs the next one;
a *closure* tells ``z_{N+1}`` from the moments that are kept. N = 1 and a good closure is a theory of fluids.

Letters: R runs, N moments, n points of a side. Fields are ``(R, 2 N + 1, n, n)``: c, then real and imaginary parts of
``z_1 .. z_N``. Source: Saintillan & Shelley (2008); the complex form is derived here.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from interpolants.foundations.asked import invalid
from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import positive, whole
from interpolants.foundations.errors import DivergedError
from interpolants.sciml.closures.pde.fourier_box import FourierBox, imex_bdf2

PARAMETERS = ("alpha", "beta", "zeta", "translation", "rotation")
# Flow: the relative residual at which the iteration ends, and after how many rounds it gives up.
_SETTLED, _ROUNDS = 1e-9, 60
# How far the order may exceed the concentration before a run is refused, relative to it.
_REALISABLE = 1e-3

Closure = Callable[[Tensor, Tensor], Tensor]
Operator = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Flow:
    """A flow at the points of a grid.

    Attributes:
        velocity: ``(R, 2, n, n)``, of mean 0.
        strain: e, complex ``(R, n, n)``.
        vorticity: w, ``(R, n, n)``.
    """

    velocity: Tensor
    strain: Tensor
    vorticity: Tensor


@dataclass(frozen=True)
class ActiveFluid(Checked):
    """Parameters of R suspensions in one periodic square.

    Raises:
        InvalidInputError: If a parameter is out of range.
    """

    parameters: Tensor
    """``(R, 5)`` float64, columns :data:`PARAMETERS`: alpha, the strength of the rods' dipoles (negative where they
    push); beta >= 0, their effective volume; zeta >= 0, how strongly they align; coefficients d_T and d_R >= 0 of the
    diffusion in space and in angle. Differentiable."""
    box: FourierBox
    """The square."""

    def check_settings(self) -> None:
        """Refuse parameters that no suspension has."""
        if self.parameters.ndim != 2 or self.parameters.shape[1] != len(PARAMETERS):
            rule = f"parameters must be (R, 5): {', '.join(PARAMETERS)}"
            raise invalid(rule, tuple(self.parameters.shape))
        known = self.parameters.detach()
        if not bool(known.isfinite().all()):
            raise invalid("parameters must be finite", "nan or inf")
        for k, name in enumerate(PARAMETERS[1:], start=1):
            if bool((known[:, k] < 0).any()):
                raise invalid(f"{name} must be >= 0", float(known[:, k].min()))

    def _each(self, name: str, dims: int) -> Tensor:
        """One parameter of each run, to multiply fields of so many dimensions."""
        return self.parameters[:, PARAMETERS.index(name)].reshape(-1, *[1] * (dims - 1))

    # --- what is known in closed form

    def growth(self, wavenumber: float) -> Tensor:
        """Growth rate of a small shear wave of the isotropic state with ``c = 1``, ``(R,)``.

        Args:
            wavenumber: In radians per unit of length.
        """
        alpha, beta, zeta, translation, rotation = self.parameters.unbind(1)
        flow = (zeta * beta / 2 - alpha) / (4 + beta / 2)
        return flow + zeta - 4 * rotation - translation * wavenumber**2

    # --- the flow

    def flow(self, c: Tensor, first: Tensor, second: Tensor) -> Flow:
        """The flow that c ``(R, n, n)`` and complex z_1, z_2 drive, their own resistance to strain included.

        Raises:
            DivergedError: If the strain rate is not determined: the moments are those of no density, and beta is large.
        """
        alpha, beta, zeta = (self._each(name, 3) for name in ("alpha", "beta", "zeta"))
        active = alpha * first - 0.5 * zeta * beta * (c * first - first.conj() * second)
        target = -0.25 * self._shear(active)
        fixed = (beta / 8).detach(), c.detach(), second.detach()

        def resisted(e: Tensor, parts: tuple[Tensor, Tensor, Tensor]) -> Tensor:
            share, c, second = parts
            return e + self._shear(share * (c * e + second * e.conj()))

        def operator(e: Tensor) -> Tensor:
            return resisted(e, fixed)

        known = _conjugate_gradients(operator, target.detach())
        if not torch.is_grad_enabled():
            return self._with_strain(known)
        # The rule of implicit functions: what the operator itself depends on enters as a change of the target.
        moved = resisted(known, (beta / 8, c, second)) - resisted(known, fixed)
        strain: Tensor = _Solved.apply(target - moved, known, operator, self._shear)  # type: ignore[no-untyped-call]
        return self._with_strain(strain)

    @functools.cached_property
    def _angles(self) -> tuple[Tensor, Tensor]:
        """``2 kx ky / k^2`` and ``(kx^2 - ky^2) / k^2`` of the modes; 0 for those without a determined flow."""
        kx, ky = (torch.where(k.abs() < k.abs().max(), k, 0.0) for k in self.box.wavenumbers)
        square = kx.square() + ky.square()
        # A mode of which one side is left out has no direction.
        lost = (kx == 0) & (self.box.wavenumbers[0] != 0) | (ky == 0) & (self.box.wavenumbers[1] != 0)
        inverse = torch.where((square > 0) & ~lost, 1 / square.clamp_min(1e-300), 0.0)
        return 2 * kx * ky * inverse, (kx.square() - ky.square()) * inverse

    def _shear(self, stress: Tensor) -> Tensor:
        """The part of a complex tensor field ``(R, n, n)`` that shears a flow: a projection, mode by mode."""
        across, along = self._angles
        real, imaginary = self.box.modes(stress.real), self.box.modes(stress.imag)
        amount = across * real - along * imaginary
        return torch.complex(self.box.field(across * amount), self.box.field(-along * amount))

    def _with_strain(self, strain: Tensor) -> Flow:
        """Vorticity and velocity of a strain rate that is one of a flow without divergence."""
        across, along = self._angles
        modes = -2 * (across * self.box.modes(strain.real) - along * self.box.modes(strain.imag))
        stream = -self.box.inverse_laplacian(modes)
        along_x, along_y = self.box.slopes(stream)
        velocity = self.box.field(torch.stack([along_y, -along_x], 1))
        return Flow(velocity, strain, self.box.field(modes))

    # --- in time

    def symbol(self, moments: int) -> Tensor:
        """Decay of the modes by diffusion in space and angle, ``(R, 2 N + 1, n, n/2 + 1)``."""
        order = moment_orders(moments).reshape(1, -1, 1, 1)
        spread = self._each("translation", 4) * self.box.laplacian
        return spread - 4 * order.square() * self._each("rotation", 4)

    def rates(self, fields: Tensor, closure: Closure | None = None) -> Tensor:
        """Everything but diffusion that changes the moments: modes ``(R, 2 N + 1, n, n/2 + 1)`` of fields.

        Args:
            fields: The moments at the points.
            closure: ``z_{N+1}`` ``(R, n, n)`` from c and complex ``z_1 .. z_N`` ``(R, N, n, n)``; 0 if None.
        """
        c, z = complex_moments(fields)
        beyond = torch.zeros_like(z[:, 0]) if closure is None else closure(c, z)
        ladder = torch.cat([torch.complex(c, torch.zeros_like(c))[:, None], z, beyond[:, None]], 1)
        flow = self.flow(c, z[:, 0], ladder[:, 2])
        turn = (flow.strain + self._each("zeta", 3) * z[:, 0])[:, None]
        order = torch.arange(1, z.shape[1] + 1, dtype=fields.dtype).reshape(1, -1, 1, 1)
        local = turn * ladder[:, :-2] - turn.conj() * ladder[:, 2:] + 1j * flow.vorticity[:, None] * z
        pull = torch.cat([torch.zeros_like(c)[:, None], real_moments(order * local)], 1)
        carried = self.box.modes(flow.velocity[:, :, None] * fields[:, None])
        out = self.box.slopes(carried[:, 0])[0] + self.box.slopes(carried[:, 1])[1]
        return self.box.dealiased(self.box.modes(pull) - out)

    def run(
        self, start: Tensor, *, end: float, steps: int, every: int = 1, closure: Closure | None = None
    ) -> Tensor:
        """Moments at the kept times, ``(R, steps / every + 1, 2 N + 1, n, n)``, the start among them.

        Args:
            start: Moments at time 0, ``(R, 2 N + 1, n, n)``.
            end: Last time.
            steps: Steps of time, of second order, diffusion implicit.
            every: Keep every so many.
            closure: See :meth:`rates`; None cuts the moments off, which is right where the last of them are small.

        Raises:
            DivergedError: If a moment is not finite, or cannot be that of a density.
        """
        modes = self.box.dealiased(self.box.modes(start))
        found = imex_bdf2(
            modes,
            self.symbol((start.shape[1] - 1) // 2),
            lambda modes: self.rates(self.box.field(modes), closure),
            end=end,
            steps=steps,
            every=every,
        )
        kept = self.box.field(found).movedim(0, 1)
        _check_realisable(kept.detach(), (every * end / steps))
        return kept


def moment_orders(moments: int) -> Tensor:
    """The number n of the moment to which each of ``2 N + 1`` fields belongs."""
    return torch.cat([torch.zeros(1), torch.arange(1, moments + 1).repeat_interleave(2)]).double()


def complex_moments(fields: Tensor) -> tuple[Tensor, Tensor]:
    """Fields c ``(..., n, n)`` and complex ``z_1 .. z_N`` ``(..., N, n, n)`` of fields ``(..., 2 N + 1, n, n)``."""
    return fields[..., 0, :, :], torch.complex(fields[..., 1::2, :, :], fields[..., 2::2, :, :])


def real_moments(z: Tensor) -> Tensor:
    """Real and imaginary parts in turn: ``(..., N, n, n)`` complex to ``(..., 2 N, n, n)``."""
    return torch.view_as_real(z).movedim(-1, -3).flatten(-4, -3)


class _Solved(torch.autograd.Function):
    """Known solution of a system that is symmetric on a subspace, with targets in that subspace.

    Its gradient by the target is the solution for the gradient's projection on the subspace: the solution moves in the
    subspace only, and outside of it the operator is not symmetric.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx, target: Tensor, known: Tensor, operator: Operator, project: Operator
    ) -> Tensor:
        ctx.operator, ctx.project = operator, project  # type: ignore[attr-defined]
        return known.clone()

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        target = ctx.project(grads[0])  # type: ignore[attr-defined]
        return _conjugate_gradients(ctx.operator, target), None, None, None  # type: ignore[attr-defined]


def _conjugate_gradients(operator: Operator, target: Tensor) -> Tensor:
    """Conjugate gradients for each run ``(R, n, n)`` complex, whose inner product is that of its real parts."""
    with torch.no_grad():
        found, left = torch.zeros_like(target), target
        way, size = left, _inner(left, left)
        if not bool(size.isfinite().all()):
            told = "ActiveFluid.flow: the moments became NaN or infinite"
            raise DivergedError(f"{told}. Use smaller steps of time, or more points or moments.")
        enough = _SETTLED**2 * size
        for _ in range(_ROUNDS):
            if bool((size <= enough).all()):
                return found
            pushed = operator(way)
            bend = _inner(way, pushed)
            if bool(((size > enough) & (bend <= 0)).any()):
                break
            # A run that has settled, or is at rest, stays as it is.
            share = torch.where(size > enough, size / bend.clamp_min(1e-300), 0.0)
            found, left = found + share * way, left - share * pushed
            after = _inner(left, left)
            way, size = left + after / size.clamp_min(1e-300) * way, after
    raise DivergedError(
        f"ActiveFluid.flow: the strain rate is not settled within {_ROUNDS} rounds, so these are the "
        "moments of no density. Use smaller steps of time, more points or moments, or a smaller beta."
    )


def _inner(x: Tensor, y: Tensor) -> Tensor:
    return (x.real * y.real + x.imag * y.imag).sum((-2, -1), keepdim=True)


def _check_realisable(fields: Tensor, interval: float) -> None:
    """Refuse a run in which rods are more aligned than aligned: |z_1| > c."""
    c, z = complex_moments(fields)
    excess = (z[:, :, 0].abs() - c).amax((2, 3)) / c.abs().amax((2, 3)).clamp_min(1e-300)
    if bool((excess > _REALISABLE).any()):
        run, at = (int(k) for k in (excess > _REALISABLE).nonzero()[0])
        told = f"|z_1| exceeds c by {100 * float(excess[run, at]):.2g} % at time {at * interval:.3g} in run {run}"
        raise DivergedError(
            f"ActiveFluid.run: {told}, so these are the moments of no density. Use more points, moments or steps."
        )


def uniform_start(
    runs: int, box: FourierBox, moments: int, *, size: float, source: torch.Generator | None
) -> Tensor:
    """Nearly isotropic rods, ``(R, 2 N + 1, n, n)`` float64: ``c = 1``, z_1 of random waves of up to 3 periods a side.

    Args:
        runs: R.
        box: The square.
        moments: N.
        size: Root mean square of ``|z_1|``.
        source: Seeds the waves; PyTorch's own generator if None.
    """
    whole("uniform_start", "moments", moments, at_least=1), positive("uniform_start", "size", size)
    fields = torch.zeros(runs, 2 * moments + 1, box.n, box.n, dtype=torch.float64)
    fields[:, 0] = 1.0
    waves = [(a, b) for a in range(4) for b in range(-3, 4) if (a, b) > (0, 0)]
    unit = 2 * math.pi / box.length
    phase = torch.stack([unit * (a * box.points[..., 0] + b * box.points[..., 1]) for a, b in waves])
    both = torch.cat([phase.cos(), phase.sin()])
    drawn = torch.randn(runs, 2, len(both), dtype=torch.float64, generator=source)
    order = torch.einsum("rkw,wxy->rkxy", drawn, both)
    fields[:, 1:3] = size * order / order.square().sum(1).mean((1, 2)).sqrt()[:, None, None, None]
    return fields
