"""Episodes: a prior over tasks is learnt from groups; a few rows of a new task give a method that predicts."""

from typing import Any

import torch
from torch import Tensor

from interpolants.foundations.checks import positive
from interpolants.framework.answers import Predictive
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.framework.task import Split
from rooms.parts import lines

ROLES = Role(name="x"), Role(name="y")


class OneTask(Method):
    """Regression ``y = x w + e`` with the prior ``w ~ N(mean, cov)``: what an adaptation is.

    Args:
        prior: Mean and covariance; standard normal if None.
        noise: Variance of e.
    """

    prior: Any = None
    noise: float = 1.0

    def check_settings(self) -> None:
        positive("OneTask", "noise", self.noise)

    def roles(self) -> tuple[Role, ...]:
        return ROLES

    def learn(self, data: dict[str, Any], run: Run) -> Any:
        x, y = data["x"].double(), data["y"].double()[:, 0]
        prior = self.prior or standard_normal(x.shape[1])
        precision = torch.linalg.inv(prior["cov"])
        cov = torch.linalg.inv(precision + x.T @ x / self.noise)
        return {"mean": cov @ (precision @ prior["mean"] + x.T @ y / self.noise), "cov": cov}

    @capability(like="y", blocks=True)
    def predict(self, x: Tensor) -> Predictive:
        """The predictive distribution of each row."""
        x = x.double()
        scale = ((x @ self.state["cov"] * x).sum(1) + self.noise).sqrt()
        return Predictive(loc=(x @ self.state["mean"])[None, :, None], scale=scale[None, :, None])


class Episodes(Method):
    """Expectation-maximisation of the prior."""

    sweeps: int = 30
    noise: float = 0.09

    def roles(self) -> tuple[Role, ...]:
        return *ROLES, Role(name="groups", kind="labels")

    def learn(self, data: dict[str, Any], run: Run) -> Any:
        x, y, groups = data["x"], data["y"], data["groups"]
        parts = [(x[groups == g], y[groups == g]) for g in torch.unique(groups)]

        def sweep(prior: Any, k: int, g: Any) -> Any:
            found = [OneTask(prior=prior, noise=self.noise).fit(*part).state for part in parts]
            means = torch.stack([one["mean"] for one in found])
            apart = means - means.mean(0)
            within = torch.stack([one["cov"] for one in found]).mean(0)
            return {"mean": means.mean(0), "cov": within + apart.T @ apart / len(parts)}

        return run.loop("em", lambda g: standard_normal(x.shape[1]), sweep, self.sweeps, every=5)

    @capability()
    def adapt(self, x: Tensor, y: Tensor) -> Method:
        """A method for the task that these few rows come from."""
        return OneTask(prior=self.state, noise=self.noise).fit(x, y)


def standard_normal(width: int) -> dict[str, Tensor]:
    return {"mean": torch.zeros(width).double(), "cov": torch.eye(width).double()}


def quick_one_task() -> tuple[Method, dict[str, Any]]:
    data = lines()
    return OneTask(noise=0.09), {"x": data["x"], "y": data["y"]}


def quick() -> tuple[Method, dict[str, Any], Split]:
    return Episodes(sweeps=8), lines(200, 20), Split(by="group", role="groups")
