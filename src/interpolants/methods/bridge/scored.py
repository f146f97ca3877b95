"""Samples of a bridge with their log densities, by one solve of the flow and of its volume change."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from torch import Tensor

from interpolants.dynamics.noise import as_noise
from interpolants.dynamics.sample import Sampling
from interpolants.fields.protocol import Fields
from interpolants.foundations.checks import one_of
from interpolants.foundations.errors import invalid
from interpolants.foundations.types import Condition
from interpolants.framework.capabilities import NotAbleError
from interpolants.likelihood.log_prob import flow_solver, sample_with_log_prob
from interpolants.likelihood.result import LogProb
from interpolants.methods.bridge.fitted import FittedBridge

_OF_SAMPLING = ("method", "n_steps", "time_grid", "rtol", "atol", "max_steps", "chunk", "on_failure")
_OF_DENSITY = ("divergence", "probes", "mode")


def check_scored(
    bridge: FittedBridge, log_prob: Any, eps: Any, reverse: bool, options: Mapping[str, Any]
) -> None:
    """Refuse what has no log density in one solve, before anything is drawn."""
    who = "Bridge.sample"
    if why := bridge.cannot("log_prob"):
        raise NotAbleError(f"{who}: log_prob: {why}")
    if reverse or isinstance(eps, str) or as_noise(eps) is not None:
        remedy = "Leave eps at 0 and reverse at False; of given points, log_prob(x, eps=...) scores the SDE's model."
        raise invalid(who, "log_prob goes with the forward flow", f"eps={eps!r}, reverse={reverse}", remedy)
    for name in chosen(options):
        one_of(who, "with log_prob an option", name, _OF_SAMPLING)
    for name in log_prob if isinstance(log_prob, Mapping) else ():
        one_of(who, "a setting of log_prob", name, _OF_DENSITY)


def chosen(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of ``dynamics.sample`` that are not its defaults: a command names all of them."""
    defaults = {field.name: field.default for field in fields(Sampling)}
    # A command line has lists where the defaults are tuples.
    plain = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    return {name: options[name] for name in options if plain[name] != defaults[name]}


def scored(
    bridge: FittedBridge,
    start: Tensor,
    target: tuple[Fields, Condition],
    seed: int,
    first: int,
    options: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> LogProb:
    """Samples and log densities in data units, by the flow from ``start``.

    Args:
        bridge: The fitted bridge.
        start: Starts in the network's units.
        target: Fields and condition to follow.
        seed: Seed of the probes of an estimated divergence.
        first: Index of the first sample in the whole job.
        options: Options of the solver.
        settings: Options of the divergence.
    """
    followed, cond = target
    more = {
        **chosen(options),
        **settings,
        "method": flow_solver(options.get("method")),
        "cond": cond,
        "seed": seed,
    }
    done = sample_with_log_prob(followed, start, bridge.density0(), first_index=first, **more)
    volume = bridge.frame.log_volume(bridge.frame.decode(done.x.double()))
    return replace(done.shifted(volume), x=bridge.decoded(done.x))
