"""Few-shot classification: features for which a Bayesian linear head is probable, learnt from other classes."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge
from torch import Generator, Tensor, nn

from interpolants.foundations.asked import invalid, who
from interpolants.foundations.checks import whole
from interpolants.foundations.kinds import Count, Each, Positive, Whole
from interpolants.framework.capabilities import capability
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.nets.features import ConvFeatures
from interpolants.nets.perceptron import Perceptron
from interpolants.sciml.bayes import linear_heads
from interpolants.sciml.bayes.class_labels import NEW_LABELS
from interpolants.sciml.bayes.episodes import Groups
from interpolants.sciml.bayes.task_classifier import (
    TaskClassifier,
    X,
    descend,
    in_full,
    in_units,
    logits,
    start_of,
    units_of_rows,
)

LABELS = Role(name="y", kind="labels", about="Class of each row.")
# Learning rate of log variances as a multiple of that of the network: they are of another size.
_SPREAD_LR = 10.0
_DRAWS = 16  # of the means under a posterior in training


class FewShotClassifier(Trained):
    """Learn features from many classes, so that new classes are told apart after a few examples, with honest odds.

    ::

        model = FewShotClassifier().fit(x, y)                 # rows (N, D) or images (N, C, H, W), classes (N,)
        task = model.adapt(few_x, few_y)                      # a few rows of each of some new classes -> a method
        task.predict(new_x)                                   # probabilities; task.classes names the columns

    A step draws some classes and rows of each. The head ``theta ~ N(0, S)`` on the features has a Gaussian posterior at
    its mode; features and S then move by one gradient of ``E_q l + KL(q | N(0, S))``, in which the posterior is
    fixed: it is the optimum, where its own change does not count. Nothing is differentiated through the inner
    solution.

    Args:
        batch_size: Episodes of a step.

    Raises:
        InvalidInputError: If a setting is out of range, when fitted also if there are fewer classes than ``ways``, or a
            class has too few rows.

    Source: Kim & Hospedales (2024), arXiv:2306.09702, with a linear head; Finn, Abbeel & Levine (2017) for the peer.
    """

    noun: ClassVar[str] = "few-shot learner"

    features: Count = 16
    """Number of features."""
    hidden: Annotated[tuple[Count, ...], Each("every width of hidden")] = (64,)
    """Widths of the hidden layers for vectors, channels of the first convolution (one number) for images; none for the
    standardised rows themselves as features, of which the spread of the heads alone is learnt."""
    ways: Annotated[int, Ge(2)] = 3
    """Classes of a step."""
    rows: Annotated[int, Ge(2)] = 15
    """Rows of each, those of few-shot episodes and more."""
    learn_by: Literal["bayes", "maml", "nothing"] = "bayes"
    """``"maml"`` is first-order MAML with the same network, as a peer; ``"nothing"`` the nearest centroid of rows as
    they are."""
    shots: Count = 5
    """Rows of each class from which a step of MAML learns."""
    inner_steps: Whole = 5
    """Steps of descent of MAML."""
    inner_lr: Positive = 0.1
    """Their size."""
    draws: Count = 200
    """Draws of the posterior in predictions."""
    steps = 500
    symmetries: bool = False
    """Turn and mirror the images of a class at random in each episode, all alike: few classes then stand for many. For
    square images whose classes keep apart when they are turned."""
    batch_size = 4
    lr = 3e-3
    ema = None

    def check_settings(self) -> None:
        """Refuse a step whose rows are all learnt from."""
        remedy = "Rows beyond shots judge what was learnt."
        whole(who(), "rows", self.rows, at_least=self.shots + 1, remedy=remedy)

    def roles(self) -> tuple[Role, ...]:
        """Rows and their classes; a split by group parts the classes."""
        return X, LABELS

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Features, and the spread of the heads on them."""
        x, y = in_full(data["x"]), data["y"]
        groups = Groups.of(who(), y, self.shots + 1)
        if len(groups.rows) < self.ways:
            rule = f"y must have at least {self.ways} classes with enough rows, the ways of an episode"
            raise invalid(rule, len(groups.rows), "Lower ways.")
        units = units_of_rows(x)
        if self.learn_by == "maml" and not self.hidden:
            raise invalid("MAML needs hidden layers", "none", "For example, use hidden=(64,).")
        if self.learn_by == "nothing":
            return {"features": None, "units": units, "outputs": x.flatten(1).shape[1]}
        module = Learner(self._net(x), self._outputs(x))
        sizes = (self.batch_size, self.ways, self.rows)
        batches = ClassBatches(in_units(units, x), groups, sizes, symmetries=self.symmetries)
        if self.symmetries and (x.ndim != 4 or x.shape[2] != x.shape[3]):
            rule = "symmetries are for square images (N, C, H, H)"
            raise invalid(rule, tuple(x.shape), "Use symmetries=False.")
        loss = self._bound if self.learn_by == "bayes" else self._after_descent
        settings = self.training(groups={"log_s": {"lr": _SPREAD_LR}})
        run.train("features", module, loss, batches, settings, group_of=_group_of)
        net = module.net.eval().requires_grad_(False)
        return {
            "features": net if self.hidden else None,
            "units": units,
            "log_s": module.log_s.detach(),
            "outputs": self._outputs(x),
        }

    def _outputs(self, x: Tensor) -> int:
        return self.features if self.hidden else x.flatten(1).shape[1]

    def _net(self, x: Tensor) -> nn.Module:
        if not self.hidden:
            return nn.Flatten()
        if x.ndim == 2:
            return Perceptron(x.shape[1], self.features, self.hidden, activation="silu", seed=self.seed)
        if x.ndim == 4:
            return ConvFeatures(list(x.shape[1:]), self.features, width=self.hidden[0], seed=self.seed)
        rule = "x must be vectors (N, D) or images (N, C, H, W)"
        raise invalid(rule, tuple(x.shape))

    def _bound(
        self, module: "Learner", batch: Mapping[str, Tensor], generator: Generator
    ) -> dict[str, Tensor]:
        """The bound of each episode, per row."""
        x, labels = batch["x"], batch["labels"]
        e, n = labels.shape
        z = linear_heads.with_ones(module.net(x.flatten(0, 1)), learnt=bool(self.hidden))
        z = z.reshape(e, n, -1).double()
        s = module.log_s.exp()
        draws = torch.randn(_DRAWS, self.ways, dtype=z.dtype, generator=generator)
        theta, precision = linear_heads.posterior(z.detach(), labels, s.detach(), self.ways, draws)
        xi = torch.randn(e, theta[0].numel(), 1, dtype=z.dtype, generator=generator)
        factor = torch.linalg.cholesky(precision)
        drawn = theta + torch.linalg.solve_triangular(factor.mT, xi, upper=True).reshape(theta.shape)
        expected = linear_heads.loss(drawn, z, labels)
        return {"bound": (expected + linear_heads.divergence(theta, precision, s)) / n}

    def _after_descent(
        self, module: "Learner", batch: Mapping[str, Tensor], generator: Generator
    ) -> dict[str, Tensor]:
        """Cross-entropy of the other rows after descent on the first of each class."""
        x, labels = batch["x"], batch["labels"]
        e, n = labels.shape
        first = torch.arange(n) % self.rows < self.shots
        start = {
            name: w.expand(e, *w.shape) for name, w in start_of(module.net, self.features, self.ways).items()
        }
        moved = descend(module.net, start, x[:, first], labels[:, first], self.inner_steps, self.inner_lr)
        own = dict(module.net.named_parameters())
        losses = []
        for k in range(e):
            # The gradient of what descent reached is taken for that of the start.
            weights = {n: w[k] + (own[n] - own[n].detach() if n in own else 0) for n, w in moved.items()}
            found = logits(module.net, weights, x[k, ~first])
            losses.append(nn.functional.cross_entropy(found, labels[k, ~first]))
        return {"after_descent": torch.stack(losses)}

    @capability(reads={"y": NEW_LABELS})
    def adapt(self, x: Tensor, y: Any) -> TaskClassifier:
        """A classifier of new classes from a few rows of each.

        Args:
            x: Rows ``(n, *D)``.
            y: Their classes, words or whole numbers; any that there are, those of the fit or others.
        """
        local: Any = {"bayes": "bayes", "maml": "descent", "nothing": "centroid"}[self.learn_by]
        names = ("inner_steps", "inner_lr", "draws", "seed")
        settings = {name: getattr(self, name) for name in names}
        return TaskClassifier(prior=dict(self.state), local=local, **settings).fit(x, y)


def _group_of(name: str, parameter: nn.Parameter) -> str | None:
    return "log_s" if name == "log_s" else None


class Learner(nn.Module):
    """Features with the log variances of the head's weights on each of them and on the bias."""

    def __init__(self, net: nn.Module, features: int) -> None:
        super().__init__()
        self.net = net
        self.log_s = nn.Parameter(torch.full((features + 1,), math.log(100.0), dtype=torch.float64))


class ClassBatches:
    """Rows of some classes for each step."""

    def __init__(
        self, x: Tensor, groups: Groups, sizes: tuple[int, int, int], symmetries: bool = False
    ) -> None:
        self.x, self.groups = x, groups
        self.episodes, self.ways, rows = sizes
        self.rows = min(rows, groups.fewest)
        self.symmetries = symmetries

    def __call__(self, step: int, generator: Generator, rank: int, world: int) -> dict[str, Tensor]:
        """``x (E, ways * rows, *D)`` and ``labels (E, ways * rows)``, class by class."""
        sizes = self.episodes, self.ways, self.rows
        index = torch.stack(
            [self.groups.classes(self.ways, self.rows, generator) for _ in range(self.episodes)]
        )
        x = self.x[index]
        if self.symmetries:
            x = _turned(x, torch.randint(8, sizes[:2], generator=generator))
        labels = torch.arange(self.ways).repeat_interleave(self.rows)
        return {"x": x.flatten(1, 2), "labels": labels.expand(self.episodes, -1)}


def _turned(x: Tensor, which: Tensor) -> Tensor:
    """Images ``(E, ways, rows, C, H, H)`` of each class in one of the eight positions of a square ``(E, ways)``."""
    turns = [torch.rot90(x, k, (-2, -1)) for k in range(4)]
    every = torch.stack([*turns, *(one.flip(-1) for one in turns)])
    place = which[None, :, :, None, None, None, None].expand(1, *x.shape)
    return every.gather(0, place)[0]
