"""A network of quadratic neurons, trained by exact dynamics of two moments: from lazy to rich by one number."""

from typing import Any, ClassVar, Literal

import torch
from torch import Generator, Tensor

from interpolants.foundations.asked import invalid
from interpolants.foundations.errors import DivergedError
from interpolants.foundations.kinds import Count, Positive, Real
from interpolants.foundations.randomness import generator
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.sciml.theory.learning_curves import LearningCurves, recorded_steps
from interpolants.sciml.theory.quadratic_dynamics import QuadraticModel

_DIVERGED = 100.0  # times the first loss
XY = (
    Role(name="x", exact=True, about="Inputs, one row each."),
    Role(name="y", exact=True, about="One value a row."),
)


class QuadraticNetwork(Method):
    """Regression by ``f(x) = (alpha / N) sum_i phi(w_i . x)``, ``phi(h) = h + (eps / 2) h^2``, by gradient descent.

    The neurons are summed out: ``wbar = mean w_i`` and ``M = mean w_i w_i^T`` move by themselves, exactly, at a cost
    that does not depend on N. A large ``alpha`` is lazy with ``centred=True``: the function is learnt while the weights
    hardly move, as a kernel would learn it. A small ``eps`` is misaligned with targets that are quadratic. Rows passed
    as ``held`` are watched, never learnt from::

        model = QuadraticNetwork(alpha=8.0).fit(X, y, held={"x": X_watched, "y": y_watched})
        model.curves.column("held")            # falls long after column("train"): grokking

    Raises:
        InvalidInputError: If a setting is out of range, when fitted also if there are fewer than two rows.
        DivergedError: If the loss grows a hundredfold; a step that is small enough is told.

    Source: Kumar, Bordelon, Gershman & Pehlevan (2024), arXiv:2310.06110. The closed recursion is derived here.
    """

    only_cpu: ClassVar[str] = "its moments are small matrices in float64"
    noun: ClassVar[str] = "network"

    alpha: Positive = 8.0
    """Scale of the output."""
    eps: Real = 0.1
    """Share of the square in a neuron, not 0."""
    neurons: Count = 300
    """N, which sets the first moments alone."""
    lr: Literal["auto"] | Positive = "auto"
    """eta: weights move by ``-eta N`` times the gradient of ``mean (f - y)^2 / (2 alpha^2)``; ``"auto"`` is half of
    what is stable at the start."""
    steps: Count = 60_000
    """Steps of gradient descent; no loss ends it earlier."""
    centred: bool = False
    """Whether the output of the first network is taken away. Its mean over networks is ``alpha eps |x|^2 / 2`` whatever
    N, with a variance of ``alpha^2 (|x|^2 + eps^2 |x|^4 / 2) / N``: a large alpha is lazy only without it."""
    frozen: bool = False
    """Solve for the network whose features never move, the kernel regression with the first tangent kernel."""
    standardise: bool = True
    """Whether columns are standardised, x gets a column of ones, which is the network's bias, and is divided by the
    root of its columns. Without it there is no bias, and columns should have the variance 1 / D."""

    def check_settings(self) -> None:
        """Refuse neurons that are linear."""
        if not self.eps:
            raise invalid("eps must not be 0: a linear network", 0.0, "Use ridge regression.")

    def roles(self) -> tuple[Role, ...]:
        """Inputs and values."""
        return XY

    # --- fit

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Moments by gradient descent, or the solution for features that do not move."""
        x, y = data["x"].flatten(1), data["y"].reshape(len(data["y"]), -1)
        if y.shape[1] != 1:
            raise invalid("y must have one column", y.shape[1])
        if len(x) < 2 or float(y.square().mean()) == 0:
            raise invalid("at least two rows are required, and a nonzero value of y", len(x))
        units = _units(x, y[:, 0], standardise=self.standardise)
        rows = _Rows(_inputs(units, x), (y[:, 0] - units["shift"]) / units["scale"])
        held = None
        if run.held:
            watched = run.held["y"].reshape(len(run.held["y"]), -1)[:, 0]
            watched = (watched - units["shift"]) / units["scale"]
            held = _Rows(_inputs(units, run.held["x"].flatten(1)), watched)
        source = generator(self.seed, "quadratic neurons")
        mean, second = QuadraticModel.start(rows.x.shape[1], self.neurons, source)
        first = {"mean": mean, "second": second}
        kernel = self._model.tangent(mean, second, rows.x, rows.x)
        model = self._model if self.lr != "auto" else self._with_rate(0.5 * stable_rate(kernel))
        if self.frozen:
            gap = rows.y - (0 if self.centred else 1) * model.outputs(mean, second, rows.x)
            dual = torch.linalg.lstsq(kernel, gap[:, None], driver="gelsd").solution[:, 0]
            return {"units": units, "first": first, "x": rows.x, "dual": dual}
        descent = _Descent(model, rows, held, _Rows(mean, second), self.centred)
        grid = recorded_steps(self.steps)

        def step(state: dict[str, Any], k: int, source: Generator) -> dict[str, Any]:
            return descent.go(state, grid[k] - grid[k - 1], grid[k])

        last = run.loop("descent", lambda source: descent.begin(), step, len(grid) - 1, log=_logged)
        curves = LearningCurves(torch.stack(last["curves"]))
        return {
            "units": units,
            "first": first,
            "mean": last["mean"],
            "second": last["second"],
            "curves": curves,
        }

    @property
    def _model(self) -> QuadraticModel:
        """The network for answers, to which the step means nothing."""
        return self._with_rate(1.0 if self.lr == "auto" else float(self.lr))

    def _with_rate(self, lr: float) -> QuadraticModel:
        return QuadraticModel(self.alpha, self.eps, lr)

    # --- answers

    @property
    def curves(self) -> LearningCurves:
        """Losses along the training.

        Raises:
            InvalidInputError: For a network whose features are frozen: it is solved for, not trained.
        """
        state = self.fitted_state("curves")
        if "curves" not in state:
            raise invalid("there are curves of a training alone", "frozen=True")
        found: LearningCurves = state["curves"]
        return found

    @capability(like="y")
    def predict(self, x: Tensor) -> Tensor:
        """Values at rows.

        Args:
            x: Inputs ``(N, D)``.

        Returns:
            ``(N, 1)``.
        """
        state, model = self.state, self._model
        at, first = _inputs(state["units"], x.double().flatten(1)), state["first"]
        start = model.outputs(first["mean"], first["second"], at)
        if self.frozen:
            moved = model.tangent(first["mean"], first["second"], at, state["x"]) @ state["dual"]
        else:
            moved = model.outputs(state["mean"], state["second"], at) - start
        values = moved if self.centred else start + moved
        found: Tensor = (state["units"]["shift"] + state["units"]["scale"] * values)[:, None]
        return found


class _Rows:
    """Two tensors that belong together: inputs and values, or the two moments."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y


class _Descent:
    """Gradient descent from one recorded step to the next."""

    def __init__(
        self, model: QuadraticModel, rows: _Rows, held: "_Rows | None", first: _Rows, centred: bool
    ) -> None:
        self.model, self.rows, self.held, self.first = model, rows, held, first
        self.kernel = model.tangent(first.x, first.y, rows.x, rows.x)
        self.before = [
            model.outputs(first.x, first.y, part.x) if centred else torch.zeros_like(part.y)
            for part in (rows, held)
            if part is not None
        ]
        self.size = float(rows.y.square().mean())

    def begin(self) -> dict[str, Any]:
        state = {"mean": self.first.x, "second": self.first.y, "curves": []}
        return {**state, "curves": [self._measured(state, 0)]}

    def go(self, state: dict[str, Any], steps: int, at: int) -> dict[str, Any]:
        mean, second = state["mean"], state["second"]
        for _ in range(steps):
            residual = self.model.outputs(mean, second, self.rows.x) - self.before[0] - self.rows.y
            mean, second = self.model.step(mean, second, self.rows.x, residual)
        found = {"mean": mean, "second": second, "curves": state["curves"]}
        return {**found, "curves": [*state["curves"], self._measured(found, at)]}

    def _measured(self, state: dict[str, Any], at: int) -> Tensor:
        mean, second = state["mean"], state["second"]
        losses = [
            float((self.model.outputs(mean, second, part.x) - before - part.y).square().mean()) / self.size
            for part, before in zip(
                [p for p in (self.rows, self.held) if p is not None], self.before, strict=True
            )
        ]
        self._check(losses[0], state["curves"])
        kernel = self.model.tangent(mean, second, self.rows.x, self.rows.x)
        drift = float((kernel - self.kernel).norm() / self.kernel.norm())
        y = self.rows.y
        alignment = float(y @ kernel @ y) / float(kernel.norm() * y.square().sum())
        held = losses[1] if self.held is not None else float("nan")
        return torch.tensor([at, losses[0], held, drift, alignment], dtype=torch.float64)

    def _check(self, loss: float, curves: list[Tensor]) -> None:
        first = float(curves[0][1]) if curves else loss
        if loss == loss and loss <= _DIVERGED * max(first, 1.0):
            return
        told = f"the loss grew from {first:.3g} to {loss:.3g}: lr = {self.model.lr:g} is too large"
        raise DivergedError(
            f"QuadraticNetwork.fit: {told}. Use a value below {stable_rate(self.kernel):.3g}."
        )


def stable_rate(kernel: Tensor) -> float:
    """The step of gradient descent below which errors of rows with this tangent kernel shrink."""
    return 2 * len(kernel) / float(torch.linalg.eigvalsh(kernel)[-1])


def _logged(state: dict[str, Any]) -> dict[str, float]:
    row = state["curves"][-1]
    return {
        "gradient_steps": float(row[0]),
        "train": float(row[1]),
        **({} if row[2] != row[2] else {"held": float(row[2])}),
    }


def _units(x: Tensor, y: Tensor, *, standardise: bool) -> dict[str, Any]:
    """Shift and scale of columns and values."""
    if not standardise:
        return {"means": torch.zeros(x.shape[1], dtype=x.dtype), "stds": torch.ones(x.shape[1], dtype=x.dtype),
                "shift": 0.0, "scale": 1.0, "bias": False}  # fmt: skip
    std, spread = x.std(0), float(y.std())
    stds, scale = torch.where(std > 0, std, torch.ones_like(std)), spread if spread > 0 else 1.0
    return {"means": x.mean(0), "stds": stds, "shift": float(y.mean()), "scale": scale, "bias": True}


def _inputs(units: dict[str, Any], x: Tensor) -> Tensor:
    found: Tensor = (x - units["means"]) / units["stds"]
    if not units["bias"]:
        return found
    with_ones = torch.cat([found, found.new_ones(len(found), 1)], 1)
    return with_ones / float(with_ones.shape[1] ** 0.5)
