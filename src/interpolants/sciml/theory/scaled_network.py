"""A classifier whose output is scaled: from features that are learnt to features that stay, by one number."""

import math
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional
from torch.nn.utils import skip_init

from interpolants.foundations.asked import invalid, who
from interpolants.foundations.checks import positive
from interpolants.foundations.errors import DivergedError
from interpolants.foundations.kinds import Count, Positive
from interpolants.foundations.randomness import generator
from interpolants.foundations.tell import DataWarning, tell
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.sciml.theory.learning_curves import LearningCurves, recorded_steps
from interpolants.sciml.theory.weight_kernel import kernel_alignment, kernel_drift, tangent_kernel

# Rows on which the tangent kernel is watched: its cost grows with their square, and with all weights.
_WATCHED, _GROWTH = 60, 0.05
# Classes as numbers are refused where there are so many times fewer of them, and so many would have an output.
_SPARSE, _FEW = 4, 100
# Columns of a table are told where the quartiles of one are this much nearer than those of another, in so many rows.
_SMALL, _ROWS = 1e-3, 1000


class LazyRichScaling(nn.Module):
    """``alpha (f(x) - f_0(x))`` of any network f, f_0 being the network as it is now.

    Train it on ``loss / alpha^2``, or the step of gradient descent grows with ``alpha^2``. The larger alpha, the less
    the weights have to move.

    Args:
        module: The network.
        alpha: The scale, > 0.
        centred: Whether the output of the first network is taken away.
    """

    def __init__(self, module: nn.Module, alpha: float, *, centred: bool = True) -> None:
        super().__init__()
        self.module, self.alpha, self.centred = module, positive("LazyRichScaling", "alpha", alpha), centred
        self.first = {name: w.detach().clone() for name, w in module.named_parameters()}

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate."""
        found: Tensor = self.module(x)
        if self.centred:
            with torch.no_grad():
                first = torch.func.functional_call(self.module, self.first, (x,))
            found = found - first
        return self.alpha * found


class ScaledNetwork(Method):
    """Classes by a network of one hidden layer, ``alpha (f - f_0)``, on squared errors, by full gradient descent.

    ``f(x) = (1 / N) sum_i a_i relu(w_i . x + c_i)``: at alpha = 1 its features are learnt, at ``alpha >> sqrt(N)``
    they hardly move. Rows passed as ``held`` are watched, never learnt from. All columns share one unit.

    Raises:
        InvalidInputError: If a setting is out of range, when fitted also if there is one class alone.
        DivergedError: If the loss leaves the range of numbers.

    Source: Kumar, Bordelon, Gershman & Pehlevan (2024), arXiv:2310.06110; Chizat, Oyallon & Bach (2019) for the scale.
    """

    only_cpu: ClassVar[str] = "its network is small"
    noun: ClassVar[str] = "network"

    alpha: Positive = 1.0
    """Scale of the output."""
    width: Count = 200
    """Neurons N."""
    lr: Positive = 0.05
    """Weights move by ``-lr N`` times the gradient of the squared error over ``alpha^2``."""
    steps: Count = 4000
    """Steps; no loss ends it earlier."""

    def roles(self) -> tuple[Role, ...]:
        """Rows and their classes."""
        return Role(name="x", about="Rows."), Role(name="y", kind="labels", about="Class of each row.")

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Weights, and the losses on the way."""
        _tell_of_small_columns(data["x"])
        x, labels = _in_full(data["x"]), data["y"]
        classes = _classes(labels, run.held.get("y"))
        units = {"mean": x.mean(0), "scale": float((x - x.mean(0)).square().mean().sqrt().clamp_min(1e-30))}
        rows = [(_in_units(units, x), labels)]
        if run.held:
            rows.append((_in_units(units, run.held["x"]), run.held["y"]))
        net = LazyRichScaling(_network(x.shape[1], self.width, classes, self.seed), self.alpha)
        # Mean square errors over that of the answer 0, and shares of wrong classes, are noted on the way.
        grid, recorder = recorded_steps(self.steps, _GROWTH), _Recorder(rows, classes)
        recorder.note(net, 0)
        weights = list(net.module.parameters())

        def step(k: int, source: Generator) -> dict[str, float]:
            for _ in range(grid[k] - grid[k - 1]):
                loss = (net(rows[0][0]) - recorder.targets[0]).square().sum(1).mean() / self.alpha**2
                if not bool(loss.isfinite()):
                    told = f"the loss is {float(loss.detach())}: lr = {self.lr:g} is too large."
                    raise DivergedError(f"{who()}: {told}")
                with torch.no_grad():
                    for weight, slope in zip(weights, torch.autograd.grad(loss, weights), strict=True):
                        weight.sub_(slope, alpha=self.lr * self.width)
            recorder.note(net, grid[k], last=grid[k] == self.steps)
            return recorder.logged()

        run.live("descent", {"net": net.module, "curves": recorder}, step, len(grid) - 1)
        losses, errors = recorder.curves()
        found = {"units": units, "net": dict(net.module.state_dict()), "first": net.first, "classes": classes}
        return {**found, "curves": losses, "errors": errors}

    # --- answers

    @property
    def curves(self) -> LearningCurves:
        """Mean square errors along the training, over that of the answer 0."""
        found: LearningCurves = self.fitted_state("curves")["curves"]
        return found

    @property
    def errors(self) -> LearningCurves:
        """Shares of rows whose class is wrong along the training."""
        found: LearningCurves = self.fitted_state("errors")["errors"]
        return found

    @capability(like="scores")
    def predict(self, x: Tensor) -> Tensor:
        """Scores of the classes, trained towards 1 for the right one and 0 for the others.

        Args:
            x: Rows ``(N, *D)``.

        Returns:
            ``(N, K)``.
        """
        state = self.state
        at = _in_units(state["units"], x)
        module = _network(at.shape[1], self.width, state["classes"], self.seed)
        module.load_state_dict(state["first"])
        net = LazyRichScaling(module, self.alpha)
        module.load_state_dict(state["net"])
        with torch.no_grad():
            found: Tensor = net(at)
        return found

    def columns(self, name: str) -> tuple[str, ...]:
        """Those of the scores are the classes."""
        if name == "scores" and self.is_fitted:
            names = self.given["y"].columns
            return tuple(map(str, names)) if names else tuple(map(str, range(self.state["classes"])))
        return super().columns(name)


class _Recorder:
    """Losses on the way, in a form that checkpoints keep."""

    def __init__(self, rows: list[tuple[Tensor, Tensor]], classes: int) -> None:
        self.rows = rows
        self.targets = [functional.one_hot(labels, classes).float() for _, labels in rows]
        self.losses: list[list[float]] = []
        self.wrong: list[list[float]] = []
        self.kernel: Tensor | None = None

    def note(self, net: LazyRichScaling, step: int, *, last: bool = False) -> None:
        """Record what the network does now; the tangent kernel at both ends alone."""
        loss, wrong = [math.nan, math.nan], [math.nan, math.nan]
        with torch.no_grad():
            for k, ((x, labels), targets) in enumerate(zip(self.rows, self.targets, strict=True)):
                outputs = net(x)
                loss[k] = float((outputs - targets).square().sum(1).mean())
                wrong[k] = float((outputs.argmax(1) != labels).float().mean())
        moved = self._moved(net) if last or not step else [math.nan, math.nan]
        self.losses.append([float(step), *loss, *moved])
        self.wrong.append([float(step), *wrong, *moved])

    def _moved(self, net: LazyRichScaling) -> list[float]:
        kernel = tangent_kernel(net.module, self.rows[0][0][:_WATCHED])
        if self.kernel is None:
            self.kernel = kernel
        return [kernel_drift(kernel, self.kernel), kernel_alignment(kernel, self.targets[0][:_WATCHED])]

    def logged(self) -> dict[str, float]:
        """The last row."""
        step, train, held, *_ = self.losses[-1]
        return {"gradient_steps": step, "train": train, **({} if math.isnan(held) else {"held": held})}

    def curves(self) -> tuple[LearningCurves, LearningCurves]:
        """Losses and shares of wrong classes."""
        losses, wrong = (torch.tensor(rows, dtype=torch.float64) for rows in (self.losses, self.wrong))
        return LearningCurves(losses), LearningCurves(wrong)

    def state_dict(self) -> dict[str, Any]:
        """Everything that was recorded."""
        assert self.kernel is not None
        both = torch.tensor([self.losses, self.wrong], dtype=torch.float64)
        return {"both": both, "kernel": self.kernel}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.losses, self.wrong = state["both"].tolist()
        self.kernel = state["kernel"]


def _in_units(units: dict[str, Any], x: Tensor) -> Tensor:
    """Rows in units of the fit, centred in the precision they came in: far from 0 it is all that tells them apart."""
    found: Tensor = ((_in_full(x) - units["mean"]) / units["scale"]).float()
    return found


def _in_full(x: Tensor) -> Tensor:
    """Rows as vectors in at least single precision."""
    return (x if x.dtype == torch.float64 else x.float()).flatten(1)


def _tell_of_small_columns(x: Tensor) -> None:
    """One unit serves all columns, as images need: say so where a table's columns are of very different size."""
    if x.ndim != 2:
        return
    low, high = torch.quantile(x[:_ROWS].double(), torch.tensor([0.25, 0.75], dtype=torch.float64), 0)
    spread = (high - low)[high > low]  # a pixel that hardly ever differs has none
    if len(spread) and float(spread.min()) < _SMALL * float(spread.max()):
        told = f"columns have spreads from {float(spread.min()):.2g} to {float(spread.max()):.2g} in one unit"
        remedy = "Standardise each: the small ones are next to invisible."
        tell(DataWarning, f"{who()}: {told}. {remedy}")


def _classes(labels: Tensor, held: Tensor | None) -> int:
    """Number of classes: numbers are their own codes, with an output for each up to the highest.

    Raises:
        InvalidInputError: If there is one class alone, numbers leave most classes out, or a watched row has another.
    """
    different, classes = len(torch.unique(labels)), int(labels.max()) + 1
    if different < 2:
        raise invalid("y must have rows of two classes or more", different)
    if classes > max(_SPARSE * different, _FEW):
        remedy = "Number them: np.unique(y, return_inverse=True)[1]. Names are passed as words."
        rule = "y as numbers must be classes 0, 1, 2, ..., with few left out"
        raise invalid(rule, f"{different} different ones up to {classes - 1}", remedy)
    if held is not None and int(held.max()) >= classes:
        raise invalid(f"held y must be classes of the fit, 0 to {classes - 1}", int(held.max()))
    return classes


def _network(inputs: int, width: int, classes: int, seed: int) -> nn.Module:
    """``(1 / N) sum a relu(w . x + c)``, a and w of such a size that pre-activations and features are of order one."""
    source = generator(seed, "scaled network")
    # Built without PyTorch's own draw, which moves the global generator.
    hidden = skip_init(nn.Linear, inputs, width, dtype=torch.float32)  # type: ignore[no-untyped-call]
    out = skip_init(nn.Linear, width, classes, bias=False, dtype=torch.float32)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        hidden.weight.normal_(0, math.sqrt(2 / inputs), generator=source)
        hidden.bias.zero_()
        out.weight.normal_(generator=source)
    return nn.Sequential(hidden, nn.ReLU(), out, _Share(width))


class _Share(nn.Module):
    """Division by the number of neurons."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        return x / self.width
