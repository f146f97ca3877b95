"""The Schroedinger bridge by optimising the interpolant.

    ``max over I, min over u of int E( |u|^2/2 - (dI/dt + (gamma' - eps/gamma) z) . u ) dt``,  ``x_t = I + gamma z``.

For a given I the minimiser is the drift u of ``x_t`` and the value is minus its kinetic energy; the largest value is
that of the Schroedinger bridge. We take the problem forwards and backwards in time at once (``matching_loss``).

Letters: ``psi_k(t)`` functions that vanish at both ends; ``r_k(x0, x1)`` what is learnt;
``I = (1-t) x0 + t x1 + sum_k psi_k(t) r_k(x0, x1)``: the ends are exact whatever the r_k are. The psi_k are integrals
of Legendre polynomials, so their rates are orthonormal and no rate of a network in t is needed.

Is the class rich enough? Between Gaussians, ``r_k`` linear in (x0, x1) suffices: ``x_t`` must have covariance
``M S0 M^T + N S1 N^T`` plus gamma squared and one antisymmetric matrix right, and ``M(t), N(t)`` are twice as many
functions as that needs. One dimension shows it: ``I = sqrt(Q) (cos(pi t/2) x0/s0 + sin(pi t/2) x1/s1)`` has the
variance ``Q`` of the bridge less ``gamma^2``. Otherwise the network takes over.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Generator, Tensor, nn

from interpolants.couplings.independent import Independent
from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import expand_like
from interpolants.methods.flow_settings import choose_coupling
from interpolants.methods.schrodinger import (
    NetworkSolver,
    SchrodingerResult,
    energy_and_residual,
    probe_count,
)
from interpolants.methods.schrodinger_drifts import (
    LARGEST_AFFINE,
    DriftFields,
    Frame,
    FramedDrifts,
    matching_loss,
)
from interpolants.nets.build import choose_net
from interpolants.objectives.times import StratifiedTimes
from interpolants.training.engine import fit
from interpolants.training.pairs import PairBatches, finished
from interpolants.training.settings import TrainSettings

# The targets of the drifts grow like 1/sqrt of the distance to an end.
MARGIN = 1e-4


def bubbles(t: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Integrals of the orthonormal Legendre polynomials of degree 1 to n on [0, 1], and their rates.

    ``psi_k = (P_{k+1} - P_{k-1}) / (2 sqrt(2k+1))`` in ``2t - 1``, zero at both ends; ``psi_k' = sqrt(2k+1) P_k``.
    ``t (...)`` -> twice ``(..., n)``.
    """
    s = 2 * t - 1
    p = [torch.ones_like(s), s]
    for k in range(1, n + 1):
        p.append(((2 * k + 1) * s * p[k] - k * p[k - 1]) / (k + 1))
    psi = [(p[k + 1] - p[k - 1]) / (2 * (2 * k + 1) ** 0.5) for k in range(1, n + 1)]
    rate = [(2 * k + 1) ** 0.5 * p[k] for k in range(1, n + 1)]
    return torch.stack(psi, -1), torch.stack(rate, -1)


class LearntInterpolant(nn.Module):
    """``I(t, x0, x1) = (1-t) x0 + t x1 + sum_k psi_k(t) r_k(x0, x1)``; ends exact by construction.

    Args:
        net: ``r_k`` beyond the linear part, ``net(x0, 0, x1) -> (B, K, *D)``; None for a linear I.
        size: Entries of a state.
        n_basis: K.
        linear: Whether ``r_k`` has a part linear in (x0, x1).
    """

    def __init__(self, net: nn.Module | None, size: int, n_basis: int, *, linear: bool) -> None:
        super().__init__()
        self.net, self.n_basis = net, n_basis
        self.linear = nn.Parameter(torch.zeros(2 * size, n_basis * size)) if linear else None

    def forward(self, t: Tensor, x0: Tensor, x1: Tensor) -> tuple[Tensor, Tensor]:
        """``I`` and ``dI/dt``; ``t (B,)``, ends ``(B, *D)`` -> each ``(B, *D)``."""
        psi, rate = (c.to(x0) for c in bubbles(t, self.n_basis))
        bend = self._bend(x0, x1)
        straight = x1 - x0
        i = (
            x0
            + expand_like(t, x0).to(x0) * straight
            + torch.einsum("bk,bkd->bd", psi, bend).reshape(x0.shape)
        )
        return i, straight + torch.einsum("bk,bkd->bd", rate, bend).reshape(x0.shape)

    def _bend(self, x0: Tensor, x1: Tensor) -> Tensor:
        """``r_k`` flattened, ``(B, K, d)``."""
        shape = (len(x0), self.n_basis, -1)
        # An MLP takes the state flat, so that x1 can be the vector of its condition.
        event = getattr(self.net, "shape", x0.shape[1:])
        bend = x0.new_zeros(len(x0), self.n_basis, x0[0].numel())
        if self.net is not None:
            bend = bend + self.net(x0.reshape(-1, *event), x0.new_zeros(()), x1.reshape(-1, *event)).reshape(
                shape
            )
        if self.linear is not None:
            bend = bend + (torch.cat([x0.flatten(1), x1.flatten(1)], 1) @ self.linear).reshape(shape)
        return bend


class InterpolantSB(NetworkSolver):
    """The Schroedinger bridge with noise ``sqrt(2 eps) dW`` by max-min over interpolant and drifts.

    The ascent in I reverses the gradient at the interface between I and the drifts, so that one loss and one optimizer
    serve both; I moves at every ``inner``-th step only, for its gradient means something only while the drifts are
    close to those of the present I. Then I is frozen with averaged weights, and the drifts are learnt to the end.

    Args:
        eps: Diffusivity of the reference, data units squared; > 0.
        net: Network of the drifts, as in :func:`interpolants.nets.build.choose_net` (two heads are asked for).
        interpolant: Network of I likewise (``n_basis`` heads, x1 is its condition), ``"same"`` for one like ``net``, or
            ``"linear"`` for none.
        n_basis: Number of functions of time in I, 1 to 8.
        inner: Steps of the drifts for one of I.
        polish: Share of the steps in which I is frozen.
        affine: Give drifts and I a trainable affine part, up to 64 entries of the state.
        coupling: How batches are paired: a card's id, a table or a coupling; independent when None.
        seed: Seed of weights and training.
        train: Settings of the training loop; by default 6000 steps of 512, lr 2e-3, cosine.

    Raises:
        InvalidInputError: For a setting outside its range.

    Source: Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797, section on Schroedinger bridges. Theirs is the
    forward problem; the basis in time, the two directions, and the timing of ascent and descent are ours.
    """

    def __init__(
        self,
        *,
        eps: float = 0.5,
        net: Any = "auto",
        interpolant: Any = "same",
        n_basis: int = 3,
        inner: int = 5,
        polish: float = 0.4,
        affine: bool = True,
        coupling: Any = None,
        seed: int = 0,
        train: Mapping[str, Any] | TrainSettings | None = None,
    ) -> None:
        defaults = {"steps": 6000, "batch_size": 512, "lr": 2e-3, "schedule": "cosine"}
        super().__init__(eps=eps, net=net, affine=affine, seed=seed, train=train, defaults=defaults)
        if n_basis not in range(1, 9):
            raise invalid(self._name, "n_basis must be an integer from 1 to 8", n_basis)
        if inner not in range(1, 1001):
            raise invalid(self._name, "inner must be an integer from 1 to 1000", inner)
        if not 0 <= polish < 1:
            raise invalid(self._name, "polish must lie in [0, 1)", polish)
        if interpolant == "linear" and not affine:
            raise invalid(self._name, "interpolant='linear' needs affine=True", affine)
        self.interpolant, self.n_basis, self.inner, self.polish = interpolant, n_basis, inner, polish
        self.coupling = Independent() if coupling is None else choose_coupling(coupling, self._name)

    def _solve(self, x0: Tensor, x1: Tensor, progress: bool) -> SchrodingerResult:
        frame = Frame.of(x0, x1)
        y0, y1 = (x0 - frame.mean0) / frame.scale, (x1 - frame.mean1) / frame.scale
        parts = nn.ModuleDict({"drifts": self._drift_net(x0), "interpolant": self._interpolant(y0, y1)})
        loss = _MaxMin(self.eps / frame.scale**2)
        batches = _Alternating(y0, y1, self.train.batch_size, self.coupling, self.inner)
        probe = _Probe(frame, y0, y1, self.coupling, self.eps, self.seed)
        polish = round(self.polish * self.train.steps)
        climb = self.train.steps - polish
        settings = self.train.model_copy(update={"steps": climb, "validate_every": max(1, climb // 12)})
        run = fit(parts, loss, batches, settings, validate=probe, progress=progress)
        finished(parts, run, prefix="")
        if polish:
            parts["drifts"].requires_grad_(True)
            batches.inner = 0
            settings = settings.model_copy(
                update={"steps": polish, "validate_every": 0, "lr": self.train.lr / 2}
            )
            finished(
                parts["drifts"], fit(parts, loss, batches, settings, progress=progress), prefix="drifts."
            )
        last = probe(parts, self.train.steps)
        history = [*run.validation, {"step": self.train.steps, **last}]
        fields = probe.fields(parts)
        self.learnt_interpolant = parts["interpolant"]
        return SchrodingerResult(fields, self.eps, last["kinetic_energy"], last["residual"], history)

    def _interpolant(self, y0: Tensor, y1: Tensor) -> LearntInterpolant:
        shape, size = tuple(y0.shape[1:]), y0[0].numel()
        net = None
        if self.interpolant != "linear":
            asked = self.net if self.interpolant == "same" else self.interpolant
            if self.interpolant == "same" and isinstance(asked, nn.Module):
                remedy = "A network of your own serves the drifts; give interpolant= another, or 'linear'."
                raise invalid(
                    self._name, "interpolant='same' needs net as a name", type(asked).__name__, remedy
                )
            kind = (
                asked if isinstance(asked, str) else getattr(asked, "get", lambda *_: "own")("kind", "auto")
            )
            image = len(shape) == 3 and min(shape[1:]) >= 8
            event = (size,) if kind == "mlp" or (kind == "auto" and not image) else shape
            cond = y1[:2].reshape(-1, *event)
            net = choose_net(asked, event, self.n_basis, cond, self.seed + 1, who=self._name)
        linear = self.affine and size <= LARGEST_AFFINE
        return LearntInterpolant(net, size, self.n_basis, linear=linear).to(y0.dtype)


class _Alternating:
    """Batches of pairs that say whether the interpolant moves at this step."""

    def __init__(self, y0: Tensor, y1: Tensor, size: int, coupling: Any, inner: int) -> None:
        times = StratifiedTimes(margin=MARGIN)
        self.pairs = PairBatches(y0, y1, size, coupling, times, who="InterpolantSB")
        self.inner = inner

    def __call__(self, step: int, generator: Generator, rank: int, world: int) -> dict[str, Any]:
        batch = self.pairs(step, generator, rank, world)
        batch["ascend"] = self.inner > 0 and step % self.inner == 0
        return batch


class _MaxMin:
    """The loss of both players: what the drifts minimise, with the gradient reversed where it enters I."""

    def __init__(self, eps: float) -> None:
        self.eps = eps

    def __call__(self, parts: Any, batch: dict[str, Any], generator: Generator) -> dict[str, Tensor]:
        t, x0, x1 = batch["t"], batch["x0"], batch["x1"]
        z = torch.randn(x0.shape, dtype=x0.dtype, generator=generator, device=x0.device)
        with torch.set_grad_enabled(batch["ascend"]):
            i, i_dot = (reversed_gradient(value) for value in parts["interpolant"](t, x0, x1))
        return {"max_min": matching_loss(parts["drifts"], i, i_dot, z, t, self.eps)}


def reversed_gradient(x: Tensor) -> Tensor:
    """The same value, minus the gradient."""
    return 2 * x.detach() - x


class _Probe:
    """Kinetic energy, residual and spread of ``x_t`` on pairs that are kept for this."""

    def __init__(self, frame: Frame, y0: Tensor, y1: Tensor, coupling: Any, eps: float, seed: int) -> None:
        self.frame, self.eps, self.seed = frame, eps, seed
        times = StratifiedTimes(margin=MARGIN)
        batch = PairBatches(y0, y1, probe_count(y0.shape[1:]), coupling, times)(
            0, torch.Generator().manual_seed(seed), 0, 1
        )
        self.t, self.ends = batch["t"], (batch["x0"], batch["x1"])

    def fields(self, parts: Any) -> DriftFields:
        return DriftFields(FramedDrifts(parts["drifts"], self.frame), self.eps)

    def __call__(self, parts: Any, step: int) -> dict[str, float]:
        frame, generator = self.frame, torch.Generator().manual_seed(self.seed + 1)
        shift, spread = frame.mean1 - frame.mean0, {}
        with torch.no_grad():
            i, i_dot = parts["interpolant"](self.t, *self.ends)
            for t in (0.25, 0.5, 0.75):
                at = parts["interpolant"](torch.full_like(self.t, t), *self.ends)[0] * frame.scale
                variance = float(at.var(0).mean()) + 2 * self.eps * t * (1 - t)
                spread[f"std_{t}"] = variance**0.5
        x = frame.mean0 + expand_like(self.t, i).to(i) * shift + frame.scale * i
        rate = shift + frame.scale * i_dot
        energy, residual = energy_and_residual(self.fields(parts), x, rate, self.t, generator)
        return {"kinetic_energy": energy, "residual": residual, **spread}
