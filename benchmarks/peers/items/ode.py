"""Sampling by the probability flow at equal numbers of evaluations: many points, where arithmetic costs, and few."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.peers.bench import Bench, Case, Item, Work
from benchmarks.peers.nets import PlainMLP, RepeatedTime, TimeFirst, trained, twin
from interpolants.dynamics import sample
from interpolants.fields import LearnedFields
from interpolants.paths import OneSidedLinear

# By the name that torchdiffeq and most peers have for a solver: the evaluations of a step.
SOLVERS = {"midpoint": 2, "heun": 2, "rk4": 4}
_THEIRS = {"heun": "heun2"}
# As the floor and the loop by hand run: autograd notes nothing of their operations. The caller of `sample` decides.
INFERENCE = "inside torch.inference_mode()"


def items(bench: Bench) -> Iterator[Item]:
    """10,000 points with three solvers, and 64 points with one."""
    for method, stages in SOLVERS.items():
        yield _item(bench, bench.size(10_000, 64), method, bench.size(20, 8) // stages, 1.02)
    yield _item(bench, 64, "midpoint", bench.size(100, 8) // 2, 1.04)


def _item(bench: Bench, count: int, method: str, steps: int, goal: float) -> Item:
    net = trained(2, bench.size(1000, 5))
    x, evaluations = (
        torch.randn(count, 2, generator=torch.Generator().manual_seed(1)),
        steps * SOLVERS[method],
    )
    joined = PlainMLP.joined(x)
    fields = LearnedFields(OneSidedLinear(), velocity=net)
    few = count == 64 and not bench.quick

    def bare() -> None:
        with torch.inference_mode():
            for _ in range(evaluations):
                net.net(joined)

    def ours(fields: Any, **options: Any) -> Work:
        return lambda: sample(fields, x, method=method, n_steps=steps, time_grid="uniform", **options).x

    euler = lambda: sample(fields, x, method="euler", n_steps=evaluations, time_grid="uniform").x  # noqa: E731
    cases = [
        Case(f"bare: {evaluations} forwards", bare, "bare"),
        Case("by hand", lambda: by_hand(net, x, method, steps), "hand"),
        Case("ours", ours(fields), "ours", goal),
        Case("ours", as_inference(ours(fields)), "ours", goal, INFERENCE),
        *_peers(bench, net, x, method, steps),
    ]
    if method == "midpoint":
        cases.append(Case("ours", euler, "ours", kind="Euler, as many evaluations"))
    if few:
        compiled: Any = torch.compile(twin(net), fullgraph=True)
        cases.append(Case("by hand, compiled network", lambda: by_hand(compiled, x, method, steps), "hand"))
        cases.append(Case("by hand, five steps to a compiled call", _five_to_a_call(net, x, steps), "hand"))
        of_compiled = LearnedFields(OneSidedLinear(), velocity=compiled)
        cases.append(Case("ours, compiled network", ours(of_compiled), "ours"))
        together = ours(fields, compiled=5, invariant=False)
        cases.append(Case("ours, five steps to a compiled call", together, "ours", 1.0))
    return Item(
        f"Sampling, {method}, {count:,} points in 2-D, {evaluations} evaluations",
        cases,
        columns={"largest difference": _differences(cases)},
    )


def as_inference(work: Work) -> Work:
    """The work in the mode of the floor."""

    def inside() -> object:
        with torch.inference_mode():
            return work()

    return inside


def _differences(cases: list[Case]) -> dict[str, str]:
    """Of each case's samples from those of the loop by hand: all of one solver must agree up to rounding."""
    reference = next(case for case in cases if case.by == "hand").work()
    found: dict[str, str] = {}
    for case in cases:
        samples = None if case.by == "bare" else _tried(case)
        if isinstance(samples, Tensor) and isinstance(reference, Tensor):
            found[case.title] = f"{(samples - reference).abs().max().item():.1e}"
    return found


def _tried(case: Case) -> object:
    try:
        return case.work()
    except Exception:  # the table will say why it is missing
        if case.by != "peer":
            raise
        return None


def by_hand(net: Callable[[Tensor, Tensor], Tensor], x: Tensor, method: str, steps: int) -> Tensor:
    """A plain loop: times made once, states updated in place."""
    h = 1 / steps
    ticks = torch.linspace(0, 1, 2 * steps + 1).unbind()
    with torch.inference_mode():
        x = x.clone()
        for n in range(0, 2 * steps, 2):
            t0, half, t1 = ticks[n : n + 3]
            k = net(x, t0)
            if method == "midpoint":
                x.add_(net(torch.add(x, k, alpha=h / 2), half), alpha=h)
            elif method == "heun":
                x.add_(k.add_(net(torch.add(x, k, alpha=h), t1)), alpha=h / 2)
            else:
                k1 = net(torch.add(x, k, alpha=h / 2), half)
                k2 = net(torch.add(x, k1, alpha=h / 2), half)
                k3 = net(torch.add(x, k2, alpha=h), t1)
                x.add_(k.add_(k1, alpha=2).add_(k2, alpha=2).add_(k3), alpha=h / 6)
    return x


def _five_to_a_call(net: PlainMLP, x: Tensor, steps: int) -> Work:
    net, h = twin(net), 1 / steps

    def five(x: Tensor, times: Tensor) -> Tensor:
        for t in times.unbind():
            x = x + h * net(x + 0.5 * h * net(x, t), t + 0.5 * h)
        return x

    compiled = torch.compile(five, fullgraph=True)

    def work() -> Tensor:
        with torch.inference_mode():
            state = x
            for times in torch.linspace(0, 1, steps + 1)[:-1].split(5):  # type: ignore[no-untyped-call]
                state = compiled(state, times)
            return state

    return work


def _peers(bench: Bench, net: PlainMLP, x: Tensor, method: str, steps: int) -> Iterator[Case]:
    theirs = _THEIRS.get(method, method)
    if diffeq := bench.peer("torchdiffeq"):
        yield Case("torchdiffeq", _torchdiffeq(diffeq, net, x, theirs, steps))
    if solvers := bench.peer("flow_matching.solver"):
        solver = solvers.ODESolver(velocity_model=lambda x, t: net(x, t))
        flow_matching = lambda: solver.sample(x_init=x, step_size=1 / steps, method=theirs)  # noqa: E731
        yield Case("flow_matching", flow_matching)
    if method != "heun" and (dyn := bench.peer("torchdyn.core")):
        yield Case("torchcfm's recipe (torchdyn)", _torchdyn(dyn, net, x, method, steps))
    if official := bench.checkout("stochastic-interpolants", "interflow.stochastic_interpolant"):
        flow = official.PFlowIntegrator(
            b=RepeatedTime(net), method=theirs, interpolant=None, n_step=steps + 1, sample_only=True
        )
        yield Case("stochastic-interpolants", lambda: flow.rollout(x)[0][-1])
    if transport := bench.checkout("SiT", "transport"):
        yield Case("SiT", _sit(transport, net, x, theirs, steps))
    if method == "heun" and (azula := bench.peer("azula.sample")):
        heun = azula.HeunSampler(as_denoiser(bench, net), steps=steps, silent=True)
        yield Case("azula", lambda: heun(x))
    if method == "heun" and (delta := bench.peer("deltaflow.solvers")):
        delta_solver = delta.HeunSolver(net)
        yield Case("torchdeltaflow", lambda: delta_solver.sample(x, n_steps=steps, show_progress=False))
    if method == "midpoint" and (diffusers := bench.peer("diffusers")):
        yield Case("diffusers", _diffusers(diffusers, net, x, 2 * steps), kind="Euler, as many evaluations")


def _torchdiffeq(diffeq: Any, net: nn.Module, x: Tensor, method: str, steps: int) -> Work:
    options = {"step_size": 1 / steps}

    def work() -> Tensor:
        with torch.no_grad():
            ends = torch.tensor([0.0, 1.0])
            path: Tensor = diffeq.odeint(lambda t, y: net(y, t), x, ends, method=method, options=options)
            return path[-1]

    return work


def _torchdyn(dyn: Any, net: nn.Module, x: Tensor, method: str, steps: int) -> Work:
    node = dyn.NeuralODE(TimeFirst(net), solver=method, sensitivity="adjoint", atol=1e-4, rtol=1e-4)

    def work() -> Tensor:
        with torch.no_grad():
            path: Tensor = node.trajectory(x, t_span=torch.linspace(0, 1, steps + 1))
            return path[-1]

    return work


def _sit(transport: Any, net: nn.Module, x: Tensor, method: str, steps: int) -> Work:
    linear = transport.create_transport("Linear", "velocity")
    flow = transport.Sampler(linear).sample_ode(sampling_method=method, num_steps=steps + 1)

    def work() -> Tensor:
        with torch.no_grad():
            path: Tensor = flow(x, lambda x, t: net(x, t))
            return path[-1]

    return work


def as_denoiser(bench: Bench, net: nn.Module) -> Any:
    """The velocity as azula wants it: a denoiser with the data at t = 0."""
    denoise, noise = bench.peer("azula.denoise"), bench.peer("azula.noise")

    class FromVelocity(denoise.Denoiser):  # type: ignore[misc,name-defined]  # of a module that may be absent
        def __init__(self) -> None:
            super().__init__()
            self.net, self.schedule = net, noise.RectifiedSchedule()

        def forward(self, x_t: Tensor, t: Tensor, **options: object) -> Any:
            return denoise.DiracPosterior(mean=x_t + t * self.net(x_t, 1 - t))

    return FromVelocity()


def _diffusers(diffusers: Any, net: nn.Module, x: Tensor, steps: int) -> Work:
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()

    def work() -> None:
        with torch.no_grad():
            scheduler.set_timesteps(steps)
            state = x
            for t in scheduler.timesteps:
                state = scheduler.step(-net(state, 1 - t / 1000), t, state, return_dict=False)[0]

    return work
