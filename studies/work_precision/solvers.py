"""All settings that are tried, by library: a name, and a run in so many evaluations."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.dynamics import optimise_grid, sample
from interpolants.solvers import get_solver
from studies.work_precision.problem import F64, FIRST, LAST, PATH, SIGMA_MAX, SIGMA_MIN, Problem, noise

Run = Callable[[int], Tensor]
OURS, DIFFUSERS, AZULA = "interpolants", "diffusers", "azula"
LIBRARIES = (OURS, DIFFUSERS, AZULA)
_METHODS = (
    "midpoint",
    "rk4",
    "dpmpp_2m",
    "dpmpp_3m",
    "exponential_ab2",
    "exponential_ab3",
    "unipc2",
    "unipc3",
)
_RHO = 7  # of Karras' grid
_TRAINED = 1000  # times of the discrete schedule


def missing(library: str) -> bool:
    """Whether a library is not installed."""
    return library != OURS and find_spec(library) is None


def runs(library: str, at: Problem) -> Iterator[tuple[str, Run]]:
    """Every configuration of a library."""
    return {OURS: _ours, DIFFUSERS: _diffusers, AZULA: _azula}[library](at)


def _ours(at: Problem) -> Iterator[tuple[str, Run]]:
    pilot = torch.randn(100, 2, dtype=F64, generator=torch.Generator().manual_seed(900))
    inside: dict[str, Any] = {"start": FIRST, "stop": LAST}

    def run(n: int, method: str, grid: str) -> Tensor:
        steps = n // get_solver(method).nfe_per_step
        if grid == "optimised":
            made = optimise_grid(at.fields, pilot, steps, method=method, **inside)
            return sample(at.fields, at.x, method=method, time_grid=made).x
        return sample(at.fields, at.x, method=method, n_steps=steps, time_grid=grid, **inside).x

    for method, grid in itertools.product(_METHODS, ("log_snr", "karras", "optimised")):
        yield f"{method}, {grid}", partial(run, method=method, grid=grid)


# --- diffusers: schedulers of a discrete schedule that is even in log SNR, from SIGMA_MAX to SIGMA_MIN


def _diffusers(at: Problem) -> Iterator[tuple[str, Run]]:
    from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler as Dpm
    from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler as UniPC

    grids = {
        "trained times": {},
        "exponential": {"use_exponential_sigmas": True},
        "Karras": {"use_karras_sigmas": True},
    }
    for (grid, chosen), order, last in itertools.product(grids.items(), (2, 3), (True, False)):
        common = {**chosen, "solver_order": order, "lower_order_final": last}
        ends = "" if last else ", full order at the end"
        for kind in ("bh1", "bh2"):
            settings = {**common, "solver_type": kind}
            yield f"UniPC-{order} {kind}, {grid}{ends}", partial(_scheduled, UniPC, settings, at)
        for kind in ("midpoint", "heun") if order == 2 else ("midpoint",):
            settings = {**common, "solver_type": kind}
            yield f"DPM-Solver++ {order} {kind}, {grid}{ends}", partial(_scheduled, Dpm, settings, at)
    for order, last in itertools.product((2, 3), (True, False)):
        settings = {
            "solver_order": order,
            "lower_order_final": last,
            "use_lu_lambdas": True,
            "solver_type": "midpoint",
        }
        ends = "" if last else ", full order at the end"
        yield f"DPM-Solver++ {order} midpoint, Lu{ends}", partial(_scheduled, Dpm, settings, at)


def _betas() -> list[float]:
    """Of 1,000 times whose noise over signal grows evenly in its logarithm."""
    sigma = np.exp(np.linspace(math.log(SIGMA_MIN), math.log(SIGMA_MAX), _TRAINED))
    kept = 1 / (1 + sigma**2)
    return (1 - kept / np.concatenate([[1.0], kept[:-1]])).tolist()


def _scheduled(kind: Any, settings: Mapping[str, Any], at: Problem, n: int) -> Tensor:
    """The state at SIGMA_MIN; grids that contain it as a point are given one more, whose step is not made."""
    has_end = any(name.startswith("use_") for name in settings)
    made = kind(
        num_train_timesteps=_TRAINED, trained_betas=_betas(), final_sigmas_type="sigma_min", **settings
    )
    made.set_timesteps(n + has_end)
    made.set_begin_index(0)
    x = at.x.clone()
    for k in range(n):
        sigma = made.sigmas[k].double()
        x = made.step(noise(at.fields, x, sigma), made.timesteps[k], x, return_dict=False)[0].double()
    return x


# --- azula: samplers over a schedule of one's own


def _azula(at: Problem) -> Iterator[tuple[str, Run]]:
    for grid, name in itertools.product(("even in log SNR", "Karras"), ("DDIMSampler", "HeunSampler")):
        yield f"{name.removesuffix('Sampler')}, {grid}", partial(_sampled, name, {}, grid, at)
    names = ("zABSampler", "vABSampler", "zEABSampler", "xEABSampler", "REABSampler")
    for grid, name, order in itertools.product(("even in log SNR", "Karras"), names, (2, 3, 4)):
        label = f"{name.removesuffix('Sampler')} {order}, {grid}"
        yield label, partial(_sampled, name, {"order": order}, grid, at)


def _sampled(name: str, settings: Mapping[str, Any], grid: str, at: Problem, n: int) -> Tensor:
    import azula.sample
    from azula.denoise import Denoiser, DiracPosterior
    from azula.noise import Schedule

    class Ratio(Schedule):  # type: ignore[misc]
        """Noise over signal from SIGMA_MIN at 0 to SIGMA_MAX at 1, on a variance-preserving path."""

        def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
            low, high = (math.log(SIGMA_MIN), math.log(SIGMA_MAX))
            if grid == "Karras":
                ends = SIGMA_MIN ** (1 / _RHO), SIGMA_MAX ** (1 / _RHO)
                sigma = (ends[0] + t * (ends[1] - ends[0])) ** _RHO
            else:
                sigma = torch.exp(low + t * (high - low))
            alpha = (1 + sigma.square()).rsqrt()
            return alpha, sigma * alpha

    class Exact(Denoiser):  # type: ignore[misc]
        """The exact denoised state."""

        schedule = Ratio()

        def forward(self, x_t: Tensor, t: Tensor, **_: Any) -> Any:
            alpha, sigma = self.schedule(t)
            return DiracPosterior((x_t - sigma * noise(at.fields, x_t, sigma / alpha)) / alpha)

    stages = 2 if name == "HeunSampler" else 1
    sampler = getattr(azula.sample, name)(Exact(), steps=n // stages, silent=True, dtype=F64, **settings)
    found: Tensor = sampler(at.x)
    return found


__all__ = ["AZULA", "DIFFUSERS", "LIBRARIES", "OURS", "PATH", "missing", "runs"]
