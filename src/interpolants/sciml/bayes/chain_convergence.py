"""Do the chains of a Bayesian network agree, and does its prior look like the process that it was fitted to?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Question
from interpolants.framework.scores import Finding
from interpolants.framework.task import Task
from interpolants.metrics.estimate import Estimate
from interpolants.sciml.bayes.functional_prior import FunctionalPrior
from interpolants.sciml.bayes.mcmc.convergence import MOST_R_HAT

_CHAINS = "chains that agree"


@dataclass(frozen=True, kw_only=True)
class ChainConvergence(Question):
    """Split R-hat and effective number of networks over functions at rows of the fit, and the gap of the prior."""

    needs: ClassVar[str] = "predict"
    numbers: ClassVar[Mapping[str, About]] = {
        "r_hat": About("Largest split R-hat", "neither", note="Of functions and noise.", floor_of=_CHAINS),
        "median_r_hat": About("Median split R-hat", "neither", floor_of=_CHAINS),
        "effective_samples": About("Fewest effective networks", "neither"),
        "prior_gap": About(
            "Gap of the prior",
            "neither",
            note="Relative error of the covariance of functions, Frobenius norm.",
        ),
    }

    def cannot(self, method: Method) -> str:
        """Methods without chains."""
        return "" if isinstance(method, FunctionalPrior) else "it has no chains"

    def measure(self, method: Method, task: Task) -> Measured:
        """What the fit kept."""
        told = method.fitted_state("chain_convergence")["told"]
        r_hat = float(told["r_hat"])
        words = f"Chains do not agree: R-hat {r_hat:.3g} is above {MOST_R_HAT}. "
        words += "Use a longer burn_in, or a larger thin."
        rows = method.about["history"].get("prior", [])
        steps, distance = ([float(row[name]) for row in rows] for name in ("step", "distance"))
        arrays = {"step": torch.tensor(steps), "distance": torch.tensor(distance)} if rows else {}
        findings = [] if r_hat <= MOST_R_HAT else [Finding(words, grave=False)]
        return Measured({name: float(told[name]) for name in self.numbers}, arrays, findings=findings)

    def floors(self, task: Task) -> Mapping[str, Estimate | float | str]:
        """Chains that agree have an R-hat of 1."""
        unknown = dict.fromkeys(("effective_samples", "prior_gap"), "unknown: it is a finding, no score")
        return {"r_hat": 1.0, "median_r_hat": 1.0, **unknown}

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """How the distance to the process fell."""
        if "step" not in own.arrays:
            return []
        line = Series(mark="line", arrays={"x": own.arrays["step"], "y": own.arrays["distance"]})
        panel = Panel(
            series=(line,), x=Axis(label="step"), y=Axis(label="distance to the process", scale="log")
        )
        caption = "Wasserstein distance between functions of the network's prior and of the Gaussian process."
        return [Figure(name="matching", panels=(panel,), caption=caption, width=420, height=280)]
