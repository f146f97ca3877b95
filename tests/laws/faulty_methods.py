"""Methods that are right but for one fault; ``test_method_laws_can_fail`` installs them as a distribution."""

import functools
import time
from pathlib import Path

import torch

from interpolants.framework.capabilities import capability, verb
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.solvers.euler import Euler

STEPS = 12


class Good(Method):
    """Least squares by noisy steps on batches; every law holds."""

    def roles(self):
        return Role(name="x"), Role(name="y")

    def learn(self, data, run):
        x, y = data["x"].double(), data["y"].double()

        def step(w, k, g):
            rows = torch.randint(len(x), (16,), generator=g)
            return self.moved(w, x[rows], y[rows], k, g)

        start = torch.zeros(x.shape[1], y.shape[1], dtype=torch.float64)
        return {"w": run.loop("descent", lambda g: start, step, STEPS, every=5)}

    def moved(self, w, x, y, k, g):
        return w - 0.1 * x.T @ (x @ w - y) / len(x)

    @capability(like="y")
    def predict(self, x):
        return (x.double()[:, :, None] * self.state["w"]).sum(1)


class CostsAFit(Good):
    """Changing how an answer is rounded discards what was learnt."""

    free = ("digits",)

    digits: int = 6

    @capability(like="y")
    def predict(self, x):
        return super().predict(x).round(decimals=self.digits)


class HiddenCounter(Good):
    def moved(self, w, x, y, k, g):
        self.times = getattr(self, "times", 0) + 1
        return super().moved(w, x, y, k, g) / self.times


class OwnGenerator(Good):
    def learn(self, data, run):
        self.own = torch.Generator().manual_seed(0)
        return super().learn(data, run)

    def moved(self, w, x, y, k, g):
        return super().moved(w, x, y, k, g) + torch.randn(w.shape, generator=self.own)


class Cadence(Good):
    """Looks at the checkpoints that were written."""

    def learn(self, data, run):
        self.run = run
        return super().learn(data, run)

    def moved(self, w, x, y, k, g):
        written = len(list(self.run.out.rglob("*"))) if self.run.out is not None else 0
        return super().moved(w, x, y, k, g) + written


class LostBatches(Good):
    """Half of its state is beside the state."""

    def moved(self, w, x, y, k, g):
        self.speed = 0.5 * getattr(self, "speed", 0.0) + super().moved(w, x, y, k, g) - w
        return w + self.speed


class GlobalDice(Good):
    def moved(self, w, x, y, k, g):
        return super().moved(w, x, y, k, g) + torch.randn(w.shape)


class Clock(Good):
    def learn(self, data, run):
        return {**super().learn(data, run), "when": time.perf_counter()}


class LostAttribute(Good):
    """What ``learn`` leaves on itself is lost at once, and so is what a caller leaves."""

    def learn(self, data, run):
        self.scale = 2.0
        return super().learn(data, run)

    @capability(like="y")
    def predict(self, x):
        return self.scale * (x.double()[:, :, None] * self.state["w"]).sum(1)


class Forgetful(Good):
    """A loaded one is not the one that was saved."""

    def to_parts(self):
        parts = super().to_parts()
        return {**parts, "state": parts["state"] and {"w": parts["state"]["w"].float()}}


class Remembers(Good):
    """Counts its questions."""

    @capability(like="y")
    def predict(self, x):
        self.asked = getattr(self, "asked", 0) + 1
        return (x.double()[:, :, None] * self.state["w"]).sum(1) + self.asked


class HoldsScheme(Good):
    """A member of a kind that no card declares as stored."""

    def learn(self, data, run):
        return {**super().learn(data, run), "solver": Euler()}


class WritesText(Good):
    def save(self, folder):
        place = super().save(folder)
        (Path(place) / "notes.txt").write_text("by hand")
        return place


class LearnsInPlace(Good):
    """Fits itself rather than a clone, step by step."""

    def fit_roles(self, values, *, watch=None, **options):
        if self.is_fitted and values:
            self.state = {"w": self.state["w"] + 1}
        return super().fit_roles(values, watch=watch, **options)


class Swallows(Good):
    def fit(self, *args, **given):
        known = {name: value for name, value in given.items() if name in ("x", "y")}
        return super().fit(*args, **known)


class SwallowsArguments(Good):
    @capability(like="y")
    def predict(self, x, **roles):
        return (x.double()[:, :, None] * self.state["w"]).sum(1)


class ChangesData(Good):
    def learn(self, data, run):
        data["x"].mul_(2.0)
        return super().learn(data, run)


class ChangesQuery(Good):
    @capability(like="y")
    def predict(self, x):
        return (x.mul_(1.5)[:, :, None] * self.state["w"]).sum(1)


class KeepsTheCallersRows(Good):
    """Its own `fit_roles` puts into the state what the caller has."""

    def fit_roles(self, values, **options):
        super().fit_roles(values, **options)
        self.state = {**self.state, "x": values["x"]}
        return self

    @capability(like="y")
    def predict(self, x):
        return (x.double()[:, :, None] * self.state["w"]).sum(1) + self.state["x"].mean()


class AnswersWithTheQuery(Good):
    """Goes past the framework, which would copy."""

    @functools.wraps(Good.predict)
    def predict(self, x):
        return x[:, :1]


class AnswersWithItsState(Good):
    @functools.wraps(Good.predict)
    def predict(self, x):
        return self.state["w"].expand(len(x), *self.state["w"].shape)


class LearnsWhenAsked(Good):
    @capability(like="y")
    def predict(self, x):
        self.state["asked"] = True
        return (x.double()[:, :, None] * self.state["w"]).sum(1)


class OwnOrder(Good):
    """The verb takes something else first."""

    @capability(reads={"rows": "x"}, like="y")
    def predict(self, rows):
        return (rows.double()[:, :, None] * self.state["w"]).sum(1)


verb("toy_need", "x")


class NeedsMore(Good):
    @capability(like="y")
    def toy_need(self, x, power):
        return x.double().pow(power) @ self.state["w"]


class BadClone(Good):
    """A clone that knows what the other has learnt."""

    def clone(self):
        return super().clone().take_over(self.learnt())


class HalfChanged(Good):
    def set_params(self, **changes):
        for name, value in changes.items():
            setattr(self, name, value)
        return super().set_params(**changes)


class Unordered(Good):
    """Columns of a table as they stand."""

    def learn(self, data, run):
        state = super().learn(data, run)
        self.given = {}
        return state


class BatchStatistics(Good):
    @capability(like="y")
    def predict(self, x):
        return ((x - x.mean(0)).double()[:, :, None] * self.state["w"]).sum(1)


class ByPosition(Good):
    """The answer to a row depends on its place."""

    @capability(like="y")
    def predict(self, x):
        return (x.double()[:, :, None] * self.state["w"]).sum(1) + torch.arange(len(x))[:, None]


class Dice(Good):
    @capability(like="y")
    def predict(self, x):
        return (x.double()[:, :, None] * self.state["w"]).sum(1) + torch.randn(len(x), 1)


class ByThreads(Good):
    @capability(like="y")
    def predict(self, x):
        return (x.double()[:, :, None] * self.state["w"]).sum(1) * torch.get_num_threads()


class DefaultType(Good):
    @capability(like="y")
    def predict(self, x):
        return (x.double()[:, :, None] * self.state["w"]).sum(1) * torch.tensor(0.1)


class DrawsInPassing(Good):
    """Right answers, but the caller's generator has moved on."""

    @capability(like="y")
    def predict(self, x):
        return (x.double()[:, :, None] * self.state["w"]).sum(1) + torch.rand(1).mul(0).sum()


class ArrivesEmpty(Good):
    """What was learnt does not go with it to another process."""

    def __reduce__(self):
        return type(self), ()


class NoReason(Good):
    def cannot(self, verb):
        return "no." if verb == "predict" else ""
