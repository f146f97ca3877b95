"""A network that tells the next values of a series from the last ones, and a generator that draws them.

Letters: C columns, L lags, K values at once, M members, S steps ahead.
"""

import warnings
from collections.abc import Sequence
from dataclasses import field
from typing import Annotated, Any

import torch
from torch import Generator, Tensor

from interpolants.foundations.kinds import Check, Count, Each, NonNegative
from interpolants.foundations.remembered import Remembered
from interpolants.foundations.tell import DataWarning
from interpolants.framework.answers import Ensemble
from interpolants.framework.capabilities import capability
from interpolants.framework.series import Series
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.methods.parts.delays import Delayed, delay_vectors
from interpolants.methods.parts.generators import from_noise, vector_generator
from interpolants.nets.perceptron import Perceptron
from interpolants.training.pairs import finished


class DelayNetwork(Delayed, Trained):
    """Learn the next value from the last ``lags`` values, by a perceptron; its own forecasts then are the last values.

    ::

        model = DelayNetwork(lags=10).fit(history)
        ahead = model.forecast(steps=200).x               # (1, 1, 200, C)

    Small noise on the inputs of the training teaches it to come back to where the series lives. A forecast is a single
    path: all members are equal. Several series with the same columns teach one network. A forecast is held within eight
    deviations of the training part: for series that stay where they have been, not for a trend.

    Raises:
        InvalidInputError: If a setting is out of range, or a series has gaps.

    Source: delay coordinates: Packard, Crutchfield, Farmer & Shaw (1980); as a benchmark: Gilpin (2021),
    arXiv:2110.05266.
    """

    noise: NonNegative = 0.005
    """Standard deviation of that noise, in units of the series' deviation."""
    hidden: Annotated[tuple[Count, ...], Each("every width")] = (64, 64, 64)
    """Widths of the hidden layers."""
    steps = 3000
    batch_size = 128
    lr = 4e-3
    ema = 0.995

    def taught(self, many: Sequence[Tensor], lags: int, run: Run, stage: str) -> dict[str, Any]:
        """The network."""
        x, y = (part.float() for part in delay_vectors(many, lags))
        net = DelayNet(lags, x.shape[2], self.hidden, float((y[:, 0] - x[:, -1]).std()), self.seed)
        batches = _DelayBatches(x, y[:, 0], self.batch_size, self.noise)
        result = run.train(f"network{stage}", net, _delay_loss, batches, self.training())
        return {"net": finished(net, result, prefix="")}

    def told(self, taught: dict[str, Any], known: Tensor, source: Generator) -> Tensor:
        """One value."""
        found: Tensor = taught["net"](known.float())[:, None].double()
        return found


class DelayNet(Remembered, id="delay_net"):
    """The next value ``(B, C)`` of delay vectors ``(B, L, C)``: the last one and a change of known size.

    Args:
        lags: L.
        columns: C.
        hidden: Widths of the hidden layers.
        scale: Size of a change.
        seed: Seed of the initial weights.
    """

    def __init__(self, lags: int, columns: int, hidden: Sequence[int], scale: float, seed: int = 0) -> None:
        super().__init__()
        self.scale = scale
        self.change = Perceptron(lags * columns, columns, hidden, activation="silu", seed=seed).float()

    def forward(self, x: Tensor) -> Tensor:
        """The next value."""
        found: Tensor = x[:, -1] + self.scale * self.change(x.flatten(1))
        return found


class _DelayBatches:
    """The batch of a step: some delay vectors with noise, and what follows them."""

    def __init__(self, x: Tensor, y: Tensor, size: int, noise: float) -> None:
        self.x, self.y, self.size, self.noise = x, y, size, noise

    def __call__(self, step: int, generator: Generator, rank: int, world: int) -> dict[str, Tensor]:
        rows = torch.randint(len(self.x), (max(1, self.size // world),), generator=generator)
        x = self.x[rows]
        return {"x": x + self.noise * torch.randn(x.shape, generator=generator), "y": self.y[rows]}


def _delay_loss(net: DelayNet, batch: dict[str, Tensor], generator: Generator) -> dict[str, Tensor]:
    return {"next": ((net(batch["x"]) - batch["y"]) / net.scale).square().mean(1)}


def _conditional_generator(who: str, value: Any) -> Any:
    return vector_generator(who, value, conditional=True)


class DelayGenerator(Delayed):
    """Draw the next ``ahead`` values given the last ``lags``, by any generator of vectors that takes a condition.

    ::

        model = DelayGenerator().fit(history)
        members = model.forecast(members=20, steps=200).x        # (1, 20, 200, C): each a path of its own

    Raises:
        InvalidInputError: If a setting is out of range, or a series has gaps.
    """

    generator: Annotated[Any, Check(_conditional_generator)] = field(default_factory=from_noise)
    """Method for vectors that can ``sample`` under a condition, its id, or a table with its settings; a bridge from
    noise if none is given."""
    ahead: Count = 5
    """K, values that are drawn together."""

    def taught(self, many: Sequence[Tensor], lags: int, run: Run, stage: str) -> dict[str, Any]:
        """The generator of changes from the last value on."""
        x, y = delay_vectors(many, lags, self.ahead)
        change = (y - x[:, -1:]).flatten(1)
        scale = change.std(0).clamp_min(1e-6)
        with warnings.catch_warnings():
            # Values of a smooth path are collinear, or keep one value: nobody asks densities.
            warnings.filterwarnings("ignore", r"Bridge\.fit: (?!.*copies)", DataWarning)
            law = run.fit(
                f"generator{stage}", self.generator, x1=(change / scale).float(), cond=x.flatten(1).float()
            )
        return {"law": law, "scale": scale}

    def told(self, taught: dict[str, Any], known: Tensor, source: Generator) -> Tensor:
        """K values."""
        seed = int(torch.randint(2**31, (), generator=source))
        drawn = taught["law"].sample(len(known), cond=known.flatten(1).float(), seed=seed)
        change = torch.as_tensor(drawn).double() * taught["scale"]
        found: Tensor = known[:, -1:] + change.reshape(len(known), -1, known.shape[2])
        return found

    @capability(reads={"context": "series"}, like="context")
    def forecast(
        self, context: Series | None = None, *, members: int = 20, steps: int = 24, seed: int = 0
    ) -> Ensemble:
        """Members of what follows, each a path of its own, ``(1, M, S, C)``.

        Args:
            context: The series so far; the last that was fitted if none is given.
            members: M.
            steps: S.
            seed: Seed of the draws; member m depends on M.
        """
        return self._members(context, members, steps, seed)
