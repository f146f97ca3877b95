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
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Interval
from torch import Generator, Tensor, nn

from interpolants.foundations import asked
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Check
from interpolants.foundations.ops import expand_like
from interpolants.foundations.randomness import generator
from interpolants.framework.stages import Run
from interpolants.generative.schrodinger.bridge import LearntBridge, energy_and_residual, probe_count
from interpolants.generative.schrodinger.drifts import (
    LARGEST_AFFINE,
    DriftFields,
    EndsFrame,
    FramedDrifts,
    matching_loss,
)
from interpolants.generative.schrodinger.learnt_interpolant import LearntInterpolant
from interpolants.methods.parts.choices import choose_coupling
from interpolants.nets.build import choose_net
from interpolants.objectives.times import StratifiedTimes
from interpolants.training.pairs import PairBatches, finished

# The targets of the drifts grow like 1/sqrt of the distance to an end.
MARGIN = 1e-4


class InterpolantSB(LearntBridge):
    """The Schroedinger bridge with noise ``sqrt(2 eps) dW`` by max-min over interpolant and drifts.

    The ascent in I reverses the gradient at the interface between I and the drifts, so that one loss and one optimizer
    serve both; I moves at every ``inner``-th step only, for its gradient means something only while the drifts are
    close to those of the present I. Then I is frozen with averaged weights, and the drifts are learnt to the end.

    Raises:
        InvalidInputError: For a setting outside its range.

    Source: Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797, section on Schroedinger bridges. Theirs is the
    forward problem; the basis in time, the two directions, and the timing of ascent and descent are ours.
    """

    former: ClassVar[Mapping[str, str]] = {
        "learnt_interpolant": "Use state['interpolant'].",
    }

    interpolant: Any = "same"
    """Network of I likewise (``n_basis`` heads, x1 is its condition), ``"same"`` for one like ``net``, or ``"linear"``
    for none."""
    n_basis: Annotated[int, Interval(ge=1, le=8)] = 3
    """Number of functions of time in I."""
    inner: Annotated[int, Interval(ge=1, le=1000)] = 5
    """Steps of the drifts for one of I."""
    polish: Annotated[float, Interval(ge=0, lt=1)] = 0.4
    """Share of the steps in which I is frozen."""
    coupling: Annotated[Any, Check(choose_coupling)] = "independent"
    """How batches are paired: a card's id, a table or a coupling."""
    steps = 6000
    batch_size = 512
    warmup = 0

    def check_settings(self) -> None:
        """Refuse an interpolant that needs what the drifts do not have."""
        if self.interpolant == "linear" and not self.affine:
            raise asked.invalid("interpolant='linear' needs affine=True", self.affine)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Both players; then the drifts alone, for the interpolant that was found."""
        x0, x1 = self.ends(data)
        frame = EndsFrame.of(x0, x1)
        y0, y1 = frame.encode(x0, x1)
        parts = nn.ModuleDict({"drifts": self.new_drifts(x0), "interpolant": self._interpolant(y0, y1)})
        probe = _Probe(frame, y0, y1, self.coupling, self.eps, self.seed)
        loss = MaxMin(self.eps / frame.scale**2)
        polish = round(self.polish * self.steps)
        climb = self.steps - polish
        settings = self.training(steps=climb, validate_every=max(1, climb // 12))
        batches = _Alternating(y0, y1, self.batch_size, self.coupling, self.inner)
        climbed = run.train("climb", parts, loss, batches, settings, validate=probe)
        finished(parts, climbed, prefix="")
        if polish:
            parts["drifts"].requires_grad_(True)
            settings = self.training(steps=polish, lr=self.lr / 2, validate_every=0)
            batches = _Alternating(y0, y1, self.batch_size, self.coupling, 0)
            finished(parts["drifts"], run.train("polish", parts, loss, batches, settings), prefix="drifts.")
        last = probe(parts, self.steps)
        rows = [{name: float(row[name]) for name in ("step", *last)} for row in climbed.validation]
        return self.solved(
            x0,
            (last["kinetic_energy"], last["residual"]),
            drifts=parts["drifts"],
            interpolant=parts["interpolant"],
            frame=frame,
            course=[*rows, {"step": float(self.steps), **last}],
        )

    @property
    def fields(self) -> DriftFields:
        """Velocity, score and the rest, in data units."""
        state = self.fitted_state("fields")
        return DriftFields(FramedDrifts(state["drifts"], state["frame"]), self.eps)

    @property
    def course(self) -> list[dict[str, float]]:
        """Step, kinetic energy, residual, and spread of ``x_t`` at three times, while I climbed and at the end."""
        rows: list[dict[str, float]] = self.fitted_state("course")["course"]
        return rows

    def _interpolant(self, y0: Tensor, y1: Tensor) -> LearntInterpolant:
        shape, size = tuple(y0.shape[1:]), y0[0].numel()
        net = None
        if self.interpolant != "linear":
            asked = self.net if self.interpolant == "same" else self.interpolant
            if self.interpolant == "same" and isinstance(asked, nn.Module):
                remedy = "Your own network serves the drifts; set interpolant= to a different network, or 'linear'."
                raise invalid(
                    "InterpolantSB", "interpolant='same' needs net as a name", type(asked).__name__, remedy
                )
            named = (
                asked if isinstance(asked, Mapping) else {"kind": asked if isinstance(asked, str) else "own"}
            )
            kind = named.get("kind", "auto")
            image = len(shape) == 3 and min(shape[1:]) >= 8
            event = (size,) if kind == "mlp" or (kind == "auto" and not image) else shape
            cond = y1[:2].reshape(-1, *event)
            net = choose_net(asked, event, self.n_basis, cond, self.seed + 1, who="InterpolantSB")
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


class MaxMin:
    """The loss of both players: what the drifts minimise, with the gradient reversed where it enters I."""

    def __init__(self, eps: float) -> None:
        self.eps = eps

    def __call__(self, parts: Any, batch: dict[str, Any], generator: Generator) -> dict[str, Tensor]:
        """Losses ``(B,)`` of a batch."""
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

    def __init__(
        self, frame: EndsFrame, y0: Tensor, y1: Tensor, coupling: Any, eps: float, seed: int
    ) -> None:
        self.frame, self.eps, self.seed = frame, eps, seed
        times = StratifiedTimes(margin=MARGIN)
        batch = PairBatches(y0, y1, probe_count(y0.shape[1:]), coupling, times)(
            0, generator(seed, "probe"), 0, 1
        )
        self.t, self.ends = batch["t"], (batch["x0"], batch["x1"])

    def __call__(self, parts: Any, step: int) -> dict[str, float]:
        frame, source = self.frame, generator(self.seed, "probe noise")
        shift, spread = frame.mean1 - frame.mean0, {}
        with torch.no_grad():
            i, i_dot = parts["interpolant"](self.t, *self.ends)
            for t in (0.25, 0.5, 0.75):
                at = parts["interpolant"](torch.full_like(self.t, t), *self.ends)[0] * frame.scale
                variance = float(at.var(0).mean()) + 2 * self.eps * t * (1 - t)
                spread[f"std_{t}"] = variance**0.5
        x = frame.mean0 + expand_like(self.t, i).to(i) * shift + frame.scale * i
        rate = shift + frame.scale * i_dot
        fields = DriftFields(FramedDrifts(parts["drifts"], frame), self.eps)
        energy, residual = energy_and_residual(fields, x, rate, self.t, source)
        return {"kinetic_energy": energy, "residual": residual, **spread}
