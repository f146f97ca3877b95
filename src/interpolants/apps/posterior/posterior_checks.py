"""Self-check of a posterior on held-out simulations."""

from collections.abc import Sequence
from typing import Any

from interpolants.apps.posterior.calibration import central_coverage, sbc, tarp
from interpolants.apps.posterior.rounds import EXCLUDED
from interpolants.foundations.randomness import generator
from interpolants.framework.self_checks import Check, CheckReport

# Steps of the flow where only ranks and fractions of draws count: on two moons, draws move by 0.002 from those of 400.
COARSE_STEPS = 25
# Draws per simulation, for 20 bins of 5 ranks; p-values below which a check warns, and fails.
_DRAWS, _WARN, _FAIL = 99, 0.05, 0.01
# Least contraction of some coordinate, and largest fraction outside of the bounds.
_CONTRACTION, _OUTSIDE = 0.02, 0.2
_LEVEL = 0.9


def check_posterior(posterior: Any, *, n: int, seed: int) -> CheckReport:
    """Return the verdicts of SBC, coverage, TARP, contraction and leakage.

    Args:
        posterior: A fitted ``Posterior``.
        n: Largest number of held-out simulations.
        seed: Seed of the draws.
    """
    theta, x = (rows[:n] for rows in posterior.held_out_simulations())
    repeated = x.repeat_interleave(_DRAWS, 0)
    samples = posterior.rejected_draws(len(repeated), repeated, COARSE_STEPS, seed)
    draws = samples.reshape(len(theta), _DRAWS, -1)
    ranks = sbc(draws, theta, generator=generator(seed, "check ranks"))
    regions = tarp(draws, theta, x, generator=generator(seed, "check references"))
    covered = central_coverage(draws, theta, _LEVEL)
    worst = float(covered[(covered - _LEVEL).abs().argmax()])
    error = (_LEVEL * (1 - _LEVEL) / len(theta)) ** 0.5
    shift = abs(worst - _LEVEL) / error
    largest = float(ranks.contraction.max())
    return CheckReport(
        (
            _by_p(
                "SBC, p-value",
                ranks.p,
                "ranks of the true parameters among draws are uniform",
                "they are not",
            ),
            _by_p(
                "TARP, p-value",
                regions.p,
                "regions hold what they should",
                "regions hold too much or too little",
            ),
            Check(
                f"coverage of {_LEVEL:.0%} intervals",
                "pass" if shift < 3 else "fail" if shift > 5 else "warn",
                worst,
                _LEVEL,
                f"worst coordinate; {error:.3f} is one standard error; below: too narrow",
            ),
            Check(
                "contraction",
                "pass" if largest > _CONTRACTION else "warn",
                largest,
                _CONTRACTION,
                "largest reduction of the prior's variance; near 0 the answer is the prior, which SBC passes",
            ),
            Check(
                "draws outside of the bounds",
                "pass" if posterior.state["outside"] <= _OUTSIDE else "warn",
                posterior.state["outside"],
                _OUTSIDE,
                "fraction over the simulations; fit with bounds='probit' if it is large",
            ),
            *_by_rounds(posterior.state.get("regions", ())),
        )
    )


def _by_rounds(regions: Sequence[Any]) -> tuple[Check, ...]:
    """Largest mass outside of the regions of earlier rounds."""
    if not regions:
        return ()
    mass = EXCLUDED * len(regions)
    message = (
        "of the learnt posteriors of earlier rounds; the tests above are over the prior within their regions"
    )
    return (Check("mass outside of rounds", "pass" if mass < 0.01 else "warn", mass, 0.01, message),)


def _by_p(name: str, p: float, accepted: str, rejected: str) -> Check:
    verdict = "fail" if p < _FAIL else "warn" if p < _WARN else "pass"
    message = accepted if verdict == "pass" else f"{rejected}: train longer, or simulate more"
    return Check(name, verdict, p, _FAIL, message)
