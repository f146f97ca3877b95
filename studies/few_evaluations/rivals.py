"""The libraries that are compared: each learns from the same rows, with the same network, steps, batches and optimizer.

What a library offers beyond
this (its own networks, averages, schedules of the rate) would change what is learnt and not how it is sampled.
"""

from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

import interpolants as itp
from interpolants.nets.build import choose_net
from studies.few_evaluations.problems import Sets

# Start points and a number of steps -> where they arrive.
Sampler = Callable[[Tensor, int], Tensor]
Solver = tuple[int, Sampler]
OURS, TWIN = "interpolants", "interpolants, random pairs"
# What to install for each; azula needs a Gaussian base.
PACKAGES = {
    "torchcfm": ("torchcfm", "torchdiffeq", "ot"),
    "flow_matching": ("flow_matching", "torchdiffeq"),
    "azula": ("azula", "einops"),
}
INSTALL = {"ot": "POT"}
LIBRARIES = (OURS, *PACKAGES)
# Evaluations in one step of torchdiffeq's methods.
_STAGES = {"euler": 1, "midpoint": 2, "heun2": 2, "heun3": 3, "rk4": 4}
_OUR_STAGES = {"midpoint": 2, "euler": 1, "heun": 2, "rk4": 4}
_EMA = 0.999


def missing(library: str) -> list[str]:
    """Packages that are to be installed for a library."""
    return [INSTALL.get(name, name) for name in PACKAGES.get(library, ()) if find_spec(name) is None]


def learn(library: str, sets: Sets, seed: int, settings: Mapping[str, Any]) -> dict[str, Solver]:
    """Samplers by solver, with the evaluations that each takes in a step."""
    makers = {
        OURS: _ours,
        TWIN: partial(_ours, path="linear", coupling="independent"),
        "torchcfm": _torchcfm,
        "flow_matching": _flow_matching,
        "azula": _azula,
    }
    return makers[library](sets, seed, settings)


def _ours(sets: Sets, seed: int, settings: Mapping[str, Any], **more: Any) -> dict[str, Solver]:
    """A bridge with all its defaults but those given; its default solver comes first."""
    bridge = itp.Bridge(seed=seed, **settings["bridge"], **more).fit(sets.x0, sets.x1, progress=False)

    def solver(method: str, stages: int) -> Solver:
        return stages, lambda x, n: bridge.transport(x, method=method, n_steps=n)

    return {method: solver(method, stages) for method, stages in _OUR_STAGES.items()}


def _torchcfm(sets: Sets, seed: int, settings: Mapping[str, Any]) -> dict[str, Solver]:
    """OT-CFM: a straight path between rows that optimal transport pairs within a batch."""
    from torchcfm.conditional_flow_matching import ExactOptimalTransportConditionalFlowMatcher

    matcher = ExactOptimalTransportConditionalFlowMatcher(sigma=0.0)

    def loss(net: nn.Module, x0: Tensor, x1: Tensor) -> Tensor:
        t, x_t, u_t = matcher.sample_location_and_conditional_flow(x0, x1)
        return (net(x_t, t) - u_t).square().mean()

    net = _train(loss, sets, seed, settings)
    return _by_torchdiffeq(lambda t, x: net(x, t))


def _flow_matching(sets: Sets, seed: int, settings: Mapping[str, Any]) -> dict[str, Solver]:
    """The conditional optimal transport path of its tutorials, with independent pairs."""
    from flow_matching.path import AffineProbPath
    from flow_matching.path.scheduler import CondOTScheduler
    from flow_matching.solver import ODESolver
    from flow_matching.utils import ModelWrapper

    path = AffineProbPath(scheduler=CondOTScheduler())

    def loss(net: nn.Module, x0: Tensor, x1: Tensor) -> Tensor:
        drawn = path.sample(t=torch.rand(len(x0)), x_0=x0, x_1=x1)
        return (net(drawn.x_t, drawn.t) - drawn.dx_t).square().mean()

    class Wrapped(ModelWrapper):  # type: ignore[misc]
        def forward(self, x: Tensor, t: Tensor, **_: Any) -> Tensor:
            found: Tensor = self.model(x, t)
            return found

    integrator = ODESolver(velocity_model=Wrapped(_train(loss, sets, seed, settings)))

    def solver(method: str, stages: int) -> Solver:
        return stages, lambda x, n: integrator.sample(x_init=x, method=method, step_size=1 / n)

    return {method: solver(method, stages) for method, stages in _STAGES.items()}


def _azula(sets: Sets, seed: int, settings: Mapping[str, Any]) -> dict[str, Solver]:
    """The preconditioned denoiser of its documentation on a variance-preserving schedule, with all its samplers.

    The start points are a Gaussian, and become the noise by being standardised. The network sees the logarithm of noise
    over signal, brought to (0, 1).
    """
    from azula import sample as samplers
    from azula.denoise import KarrasDenoiser
    from azula.noise import VPSchedule

    class Timed(nn.Module):
        def __init__(self, net: nn.Module) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            found: Tensor = self.net(x, torch.sigmoid(t / 2))
            return found

    def denoiser(net: nn.Module) -> Any:
        return KarrasDenoiser(Timed(net), VPSchedule())

    def loss(net: nn.Module, x0: Tensor, x1: Tensor) -> Tensor:
        found: Tensor = denoiser(net).loss(x1, torch.rand(len(x1))).mean()
        return found

    model = denoiser(_train(loss, sets, seed, settings))
    mean, std = sets.x0.mean(0), sets.x0.std(0)

    def solver(name: str, stages: int, options: dict[str, Any]) -> Solver:
        make = getattr(samplers, name)

        def run(x: Tensor, n: int) -> Tensor:
            found: Tensor = make(model, steps=n, silent=True, **options)((x - mean) / std)
            return found

        return stages, run

    plain = {"DDIM": solver("DDIMSampler", 1, {}), "Heun": solver("HeunSampler", 2, {})}
    multistep = {
        f"{name} {order}": solver(f"{name}Sampler", 1, {"order": order})
        for name in ("zAB", "vAB", "zEAB", "REAB")
        for order in (2, 3)
    }
    return plain | multistep


def _by_torchdiffeq(field: Callable[[Tensor, Tensor], Tensor]) -> dict[str, Solver]:
    from torchdiffeq import odeint

    def solver(method: str, stages: int) -> Solver:
        def run(x: Tensor, n: int) -> Tensor:
            found: Tensor = odeint(field, x, torch.linspace(0, 1, n + 1), method=method)[-1]
            return found

        return stages, run

    return {method: solver(method, stages) for method, stages in _STAGES.items()}


def _train(
    loss: Callable[[nn.Module, Tensor, Tensor], Tensor],
    sets: Sets,
    seed: int,
    settings: Mapping[str, Any],
) -> nn.Module:
    """The network, optimizer, rate and averaging of a bridge's defaults, in a plain loop."""
    plain = {**itp.Bridge().get_params(), **settings["bridge"]}
    torch.manual_seed(seed)
    net = choose_net(plain["net"], tuple(sets.x1.shape[1:]), heads=1)
    kept = torch.optim.swa_utils.AveragedModel(net, avg_fn=_average)
    optimizer = torch.optim.Adam(net.parameters(), lr=plain["lr"])
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, plain["steps"])
    for _ in range(plain["steps"]):
        rows = [torch.randint(len(x), (plain["batch_size"],)) for x in (sets.x0, sets.x1)]
        value = loss(net, sets.x0[rows[0]], sets.x1[rows[1]])
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), plain["clip_norm"])
        optimizer.step()
        rate.step()
        kept.update_parameters(net)
    module: nn.Module = kept.module
    return module.eval().requires_grad_(False)


def _average(mean: Tensor, new: Tensor, count: Any) -> Tensor:
    """A moving average that forgets the first weights early, as that of a bridge does."""
    return torch.lerp(new, mean, min(_EMA, (1 + int(count)) / (10 + int(count))))
