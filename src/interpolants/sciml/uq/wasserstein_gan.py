"""A generator that is trained against a critic, whose slope a penalty holds at 1."""

import copy
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Interval
from torch import Generator, Tensor, nn

from interpolants.foundations.asked import invalid, who
from interpolants.foundations.errors import DivergedError
from interpolants.foundations.kinds import Count, Each, NonNegative, Positive
from interpolants.foundations.randomness import BLOCK, by_block, generator
from interpolants.framework.capabilities import capability
from interpolants.framework.frames import Standard, widened
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.methods.parts.columns import warn_about_columns
from interpolants.nets.perceptron import Perceptron
from interpolants.objectives.critic import critic_loss

# Betas of Adam for both players: without momentum, which chases the other player.
_BETAS = (0.0, 0.9)


class WassersteinGAN(Method):
    """``x = G(z)`` of normal noise z, trained so that a critic, a function of slope 1, tells G's draws least from data.

    For each step of the generator the critic makes several on fresh batches: it minimises
    ``E D(G(z)) - E D(x) + penalty E (|grad D| - 1)^2``, the generator ``-E D(G(z))``. Neither loss tells when to stop;
    judge samples. Columns are standardised inside.

    Raises:
        InvalidInputError: If a setting is out of range, or there are fewer than two rows.
        DivergedError: If a loss is not finite.

    Source: Gulrajani, Ahmed, Arjovsky, Dumoulin & Courville (2017), arXiv:1704.00028.
    """

    only_cpu: ClassVar[str] = "its networks are small"
    noun: ClassVar[str] = "generator"

    noise: Count = 8
    """Entries of z."""
    hidden: Annotated[tuple[Count, ...], Each("every width of hidden")] = (64, 64)
    """Widths of the hidden layers of both networks."""
    steps: Count = 3000
    """Steps of the generator."""
    critic_steps: Count = 4
    """Steps of the critic for each."""
    penalty: NonNegative = 1.0
    """Weight of the penalty. At 10, as published for pictures, vectors go round their mean for thousands of steps."""
    ema: Annotated[float, Interval(ge=0, lt=1)] = 0.995
    """Decay of the average of the generator's weights, which samples are drawn with; 0 for the last weights."""
    batch_size: Count = 128
    """Rows of a batch."""
    lr: Positive = 5e-4
    """Learning rate of both."""

    def roles(self) -> tuple[Role, ...]:
        """Samples."""
        return (Role(name="x1", axis="x1"),)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Both players, one after the other."""
        x = data["x1"]
        if len(x) < 2:
            raise invalid("x1 must have at least two rows", len(x))
        warn_about_columns(who(), "x1", x, self.columns("x1"), density=False)
        frame = Standard().fit(x)
        rows = frame.encode(x).flatten(1).float()
        game = _Game(self, rows, self._net("generator", rows), self._net("critic", rows))
        run.few(self.steps)
        run.live("game", game.parts, game.step, self.steps)
        return {"frame": frame, "net": game.averaged.eval().requires_grad_(False)}

    def _net(self, player: str, rows: Tensor) -> Perceptron:
        seed = int(torch.randint(2**31, (), generator=generator(self.seed, f"{player} of a game")))
        sizes = (self.noise, rows.shape[1]) if player == "generator" else (rows.shape[1], 1)
        return Perceptron(*sizes, self.hidden, activation="silu", gain=1.0, seed=seed)

    @capability(like="x1")
    def sample(self, n: Count, *, seed: int = 0, first_index: int = 0) -> Any:
        """Draws ``(n, *D)``; draw i belongs to (seed, i)."""
        state = self.state

        def draw(source: Generator) -> Tensor:
            z = torch.randn(BLOCK, self.noise, dtype=torch.float32, generator=source)
            with torch.no_grad():
                found: Tensor = state["net"](z)
            return found

        found = by_block(draw, seed, ("noise of a game",), first=first_index, count=n)
        rows = widened(found.reshape(n, *self.shapes["x1"]), self.given["x1"].torch_dtype)
        made: Tensor = state["frame"].decode(rows)
        return made


class _Game:
    """The two players and their optimisers."""

    def __init__(self, method: WassersteinGAN, rows: Tensor, maker: nn.Module, critic: nn.Module) -> None:
        self.method, self.rows, self.maker, self.critic = method, rows, maker, critic
        self.averaged = copy.deepcopy(maker).requires_grad_(False)
        self.optimizers = [
            torch.optim.Adam(net.parameters(), lr=method.lr, betas=_BETAS) for net in (maker, critic)
        ]

    @property
    def parts(self) -> dict[str, Any]:
        """What checkpoints hold."""
        names = "maker", "critic", "averaged", "maker optimizer", "critic optimizer"
        return dict(zip(names, (self.maker, self.critic, self.averaged, *self.optimizers), strict=True))

    def step(self, k: int, source: Generator) -> dict[str, float]:
        """Steps of the critic, then one of the generator; the critic's estimate of the distance."""
        for _ in range(self.method.critic_steps):
            with torch.no_grad():
                made = self._made(source)
            picked = torch.randint(len(self.rows), (len(made),), generator=source)
            loss = critic_loss(self.critic, self.rows[picked], made, source, weight=self.method.penalty)
            self._move(1, loss)
        made = self._made(source)
        mean = self.critic(made).mean()
        self._move(0, -mean)
        # At first the average is the mean of all weights so far, which forgets the start.
        decay = min(self.method.ema, (k - 1) / k)
        with torch.no_grad():
            for kept, new in zip(self.averaged.parameters(), self.maker.parameters(), strict=True):
                kept.lerp_(new, 1 - decay)
            picked = torch.randint(len(self.rows), (len(made),), generator=source)
            return {"distance": float(self.critic(self.rows[picked]).mean() - mean)}

    def _made(self, source: Generator) -> Tensor:
        z = torch.randn(self.method.batch_size, self.method.noise, dtype=torch.float32, generator=source)
        found: Tensor = self.maker(z)
        return found

    def _move(self, player: int, loss: Tensor) -> None:
        if not bool(loss.isfinite()):
            raise DivergedError("WassersteinGAN.fit: a loss is not finite. Use a smaller lr.")
        self.optimizers[player].zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizers[player].step()
