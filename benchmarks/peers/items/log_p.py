"""Log-likelihoods along the flow, midpoint: exact in 2-D and 64-D, and with one random probe in 64-D."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.peers.bench import Bench, Case, Item, Work
from benchmarks.peers.nets import PlainMLP, RepeatedTime, TimeFirst, points, trained
from interpolants.fields import LearnedFields
from interpolants.foundations.gaussian import Gaussian
from interpolants.likelihood import log_prob
from interpolants.paths import OneSidedLinear

Divergence = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
# Dimension, divergence, steps, and the ratio that we aim at.
_ITEMS = ((2, "exact", 50, 0.78), (64, "exact", 5, 0.70), (64, "hutchinson", 50, 0.87))


def items(bench: Bench) -> Iterator[Item]:
    """Three kinds."""
    for dim, kind, steps, goal in _ITEMS:
        yield _item(bench, dim, kind, bench.size(steps, 2), goal)


def _item(bench: Bench, dim: int, kind: str, steps: int, goal: float) -> Item:
    net = trained(dim, bench.size(1000, 5))
    source = torch.Generator().manual_seed(0)
    x = points(bench.size(1000, 16), dim, source)
    probe = torch.randint(0, 2, x.shape, generator=source).float() * 2 - 1
    extra, joined = dim if kind == "exact" else 1, PlainMLP.joined(x)
    if many := kind == "exact" and dim > 2:  # one call on so many rows more is less than as many calls
        joined = joined.repeat(1 + extra, 1)
    fields, base = LearnedFields(OneSidedLinear(), velocity=net), Gaussian((dim,))

    def bare() -> None:
        with torch.inference_mode():
            for _ in range(2 * steps * (1 if many else 1 + extra)):
                net.net(joined)

    def ours() -> Tensor:
        run = log_prob(
            fields, x, base, method="midpoint", n_steps=steps, divergence=kind, time_grid="uniform"
        )
        return run.log_prob

    divergence = _hand_divergence(net, dim, kind, probe)
    cases = [
        Case(f"bare: {2 * steps} x (1 + {extra}) forwards", bare, "bare"),
        Case(
            "by hand, divergence at all evaluations",
            lambda: _by_hand(net, divergence, x, steps, lean=False),
            "hand",
        ),
        Case(
            "by hand, divergence where it is used",
            lambda: _by_hand(net, divergence, x, steps, lean=True),
            "hand",
        ),
        Case("ours", ours, "ours", goal),
        *(Case(name, work) for name, work in _peers(bench, net, x, probe, kind, steps)),
    ]
    return Item(
        f"Log-likelihood of {len(x):,} points in {dim}-D, {kind} divergence, midpoint, {steps} steps",
        cases,
        columns={"mean, nats": _means(cases)},
        bursts=not many,
    )


def _means(cases: list[Case]) -> dict[str, str]:
    found: dict[str, str] = {}
    for case in cases:
        if case.by == "bare":
            continue
        try:
            value = case.work()
        except Exception:  # the table will say why it is missing
            if case.by != "peer":
                raise
            continue
        if isinstance(value, Tensor):
            found[case.title] = f"{value.mean().item():.3f}"
    return found


def _normal_log_density(x: Tensor) -> Tensor:
    return -0.5 * x.square().sum(1) - 0.5 * x.shape[1] * math.log(2 * math.pi)


def _hand_divergence(net: nn.Module, dim: int, kind: str, probe: Tensor) -> Divergence:
    """The fastest form that was found for each: reverse mode, and forward mode over all directions at once."""

    def reverse(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            v = net(x, t)
            rows = [
                torch.autograd.grad(v[:, i].sum(), x, retain_graph=i + 1 < dim)[0][:, i] for i in range(dim)
            ]
        return v.detach(), torch.stack(rows).sum(0)

    def forward(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        def along(direction: Tensor) -> Any:
            return torch.func.jvp(lambda y: net(y, t), (x,), (direction.expand_as(x),))

        v, slopes = torch.vmap(along, out_dims=(None, 0))(torch.eye(dim))  # type: ignore[arg-type]
        return v, torch.einsum("kbk->b", slopes)

    def hutchinson(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            v = net(x, t)
            (pulled,) = torch.autograd.grad(v, x, probe)
        return v.detach(), (pulled * probe).sum(1)

    return hutchinson if kind == "hutchinson" else reverse if dim == 2 else forward


def _by_hand(net: nn.Module, divergence: Divergence, x: Tensor, steps: int, *, lean: bool) -> Tensor:
    h, total = 1 / steps, torch.zeros(len(x))
    ticks = torch.linspace(1, 0, 2 * steps + 1).unbind()
    with torch.no_grad():
        for n in range(0, 2 * steps, 2):
            k = net(x, ticks[n]) if lean else divergence(x, ticks[n])[0]
            k, rate = divergence(x - 0.5 * h * k, ticks[n + 1])
            x, total = x - h * k, total - h * rate
    return _normal_log_density(x) + total


def _peers(
    bench: Bench, net: PlainMLP, x: Tensor, probe: Tensor, kind: str, steps: int
) -> Iterator[tuple[str, Work]]:
    exact = kind == "exact"
    if solvers := bench.peer("flow_matching.solver"):
        solver = solvers.ODESolver(velocity_model=lambda x, t: net(x, t))

        def flow_matching() -> object:
            return solver.compute_likelihood(
                x_1=x,
                log_p0=_normal_log_density,
                step_size=1 / steps,
                method="midpoint",
                exact_divergence=exact,
            )[1]

        yield "flow_matching", flow_matching
    if (models := bench.peer("torchdyn.models")) and (dyn := bench.peer("torchdyn.core")):
        yield "torchcfm's recipe (torchdyn)", _torchdyn(models, dyn, net, x, probe, exact, steps)
    if exact and (official := bench.checkout("stochastic-interpolants", "interflow.stochastic_interpolant")):
        flow = official.PFlowIntegrator(
            b=RepeatedTime(net), method="midpoint", interpolant=None, n_step=steps + 1
        )

        def interflow() -> Tensor:
            end, change = flow.rollout(x.clone(), reverse=True)
            found: Tensor = (_normal_log_density(end[-1]) - change[-1]).detach()
            return found

        yield "stochastic-interpolants", interflow


def _torchdyn(
    models: Any, dyn: Any, net: nn.Module, x: Tensor, probe: Tensor, exact: bool, steps: int
) -> Work:
    class AtTime(nn.Module):
        """The network at a time that is set from outside, as its CNF wants it."""

        def __init__(self) -> None:
            super().__init__()
            self.net, self.t = net, torch.zeros(())

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.net(x, self.t)
            return out

    class Field(nn.Module):
        def __init__(self, cnf: Any) -> None:
            super().__init__()
            self.cnf = cnf

        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            self.cnf.net.t = t
            out: Tensor = self.cnf(x)
            return out

    dim = x.shape[1]
    trace = models.autograd_trace if exact else models.hutch_trace
    noise = None if exact else torch.distributions.MultivariateNormal(torch.zeros(dim), torch.eye(dim))
    cnf = models.CNF(AtTime(), trace_estimator=trace, noise_dist=noise)
    cnf.noise = probe
    node = dyn.NeuralODE(
        TimeFirst(Field(cnf)), solver="midpoint", sensitivity="adjoint", atol=1e-4, rtol=1e-4
    )

    def work() -> Tensor:
        with torch.no_grad():
            start = torch.cat([torch.zeros(len(x), 1), x], 1)
            end: Tensor = node.trajectory(start, t_span=torch.linspace(1, 0, steps + 1))[-1]
        return _normal_log_density(end[:, 1:]) - end[:, 0]

    return work
