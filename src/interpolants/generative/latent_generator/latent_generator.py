"""A generator for distributions on thin sets: latents through a decoder, fitted to data with noise, shown without it.

Letters: x data of D entries, z latents of d, f the decoder, s the model's noise, ``perturb`` the noise on the data.
"""

import math
from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from torch import Generator, Tensor, nn

from interpolants.dynamics.samplers import arrival_status
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Check, Count, Positive
from interpolants.foundations.randomness import BLOCK, by_block, generator
from interpolants.foundations.tell import SettingWarning, tell
from interpolants.framework.capabilities import capability
from interpolants.framework.frames import Standard, constant_columns
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.generative.latent_generator.marginal import MarginalLikelihood
from interpolants.likelihood.result import LogProb
from interpolants.methods.parts.columns import warn_about_columns
from interpolants.methods.parts.learning import in_one_precision
from interpolants.nets.perceptron import Perceptron
from interpolants.training.instance_noise import InstanceNoise
from interpolants.training.pairs import finished
from interpolants.training.settings import Rate, TrainSettings

# Where a learnt s starts, in units of the data's spread. For the bound it falls slowly from above the spread: the
# encoder then stays near the prior while the decoder is rough, and samples are of latents that the decoder knows.
_FIRST_NOISE = {"quadrature": 0.5, "iwae": 2.0}
# Weights that are small at first make a decoder that takes neighbouring latents to neighbouring points; one latent on a
# grid needs no help, and a curve that folds needs larger ones.
_GAINS = {"quadrature": None, "iwae": 3**-0.5}
# A rate that decays would stop s on its way down.
_SCHEDULES = {"quadrature": "cosine", "iwae": "constant"}
# By quadrature there is little noise in the gradient and a long way to go: a curve that folds, log s by two or more.
_RATES = {"quadrature": 1e-2, "iwae": 2e-3}
# Share of the spread from which on s leaves nothing to the decoder.
_COLLAPSED = 0.97
_POINTS = {"quadrature": 256, "iwae": 8}


def _as_noise(who: str, perturb: Any) -> InstanceNoise:
    return perturb if isinstance(perturb, InstanceNoise) else InstanceNoise(perturb)


class LatentGenerator(Trained):
    """``X = f(Z)`` with few latents, by maximum likelihood of ``f(Z) + s e`` on data with noise.

    ::

        model = LatentGenerator(1, perturb=0.1, estimator="quadrature").fit(x)
        y = model.sample(1000)                   # f(Z): without the noise, on a thin set like the data
        lp = model.log_prob(x_noisy)             # of data with noise; compare at one noise level only

    Without noise on the data the likelihood of a distribution on a thin set is unbounded, and its leading term says
    nothing of the distribution on the set. Choose ``perturb`` by a distance of samples to held-out data, never by
    likelihood.

    Raises:
        InvalidInputError: If a setting is unknown or out of range.

    Source: Chae, Kim, Kim & Lin (2023), arXiv:2105.04046.
    """

    noun: ClassVar[str] = "model"
    former: ClassVar[Mapping[str, str]] = {
        "transport": "Use sample(n), or decode(z) for latents of your own.",
        "summary": "Use s, perturb.std and the columns of history.",
        "result": "Use history.",
    }

    latent: Count = field(default=2, kw_only=False)
    """Number d of latents; at most the entries of a sample."""
    perturb: Annotated[Any, Check(_as_noise)] = 0.1
    """Noise on the data, in units of their spread: a number for fresh noise in every batch, or
    ``training.InstanceNoise``."""
    noise: Positive | None = None
    """Noise s of the model in the same units, fixed; None learns it. Where it does not end near ``perturb`` or above,
    training was too short."""
    first_noise: Positive | None = None
    """Where a learnt s starts; 1/2 by quadrature and 2 for the bound when None."""
    estimator: Literal["quadrature", "iwae"] = "iwae"
    """How the likelihood is estimated, by quadrature for one latent alone; see ``MarginalLikelihood``."""
    prior: Literal["normal", "uniform"] = "normal"
    """Law of the latents."""
    points: Count | None = None
    """Latents per sample in the objective; 256 by quadrature and 8 for the bound when None. The grid of a quadrature
    must be finer than the noise: the length of the curve over ``points``, below ``perturb``."""
    hidden: tuple[Count, ...] = (64, 64)
    """Widths of the decoder's hidden layers; the encoder has them in reverse."""
    scale: Literal["overall", "columns"] = "overall"
    """``"overall"`` divides the data by one root mean square deviation, ``"columns"`` each column by its own."""
    # None: what suits the estimator.
    lr: Rate | None = None  # type: ignore[assignment]
    """Learning rate; 1e-2 by quadrature and 2e-3 for the bound when None."""
    schedule: Literal["constant", "cosine", "step"] | None = None  # type: ignore[assignment]
    """Schedule of the learning rate; ``"cosine"`` by quadrature and ``"constant"`` for the bound when None."""
    ema = 0.99

    def check_settings(self) -> None:
        """Refuse estimators of other latents."""
        self.objective()

    def objective(self, points: int | None = None) -> MarginalLikelihood:
        """The likelihood that is maximised; with another number of latents per sample if it is given."""
        asked = self.points if points is None else points
        many = _POINTS[self.estimator] if asked is None else asked
        return MarginalLikelihood(self.latent, self.estimator, self.prior, many)

    def training(self, **changes: Any) -> TrainSettings:
        """The settings of the gradient loop, with the rate and the schedule that suit the estimator."""
        rate = _RATES[self.estimator] if self.lr is None else self.lr
        schedule = _SCHEDULES[self.estimator] if self.schedule is None else self.schedule
        return super().training(**{"lr": rate, "schedule": schedule, **changes})

    def roles(self) -> tuple[Role, ...]:
        """Samples."""
        return (Role(name="x1", axis="x1", about="samples"),)

    def fit(self, x1: Any = None, **options: Any) -> Self:
        """Learn from samples.

        Args:
            x1: Samples ``(N, *D)``.
            options: As in :meth:`interpolants.framework.method.Method.fit`.

        Raises:
            InvalidInputError: If there are fewer entries than latents, the samples do not differ, or a column is
                constant with ``scale="columns"``.
        """
        return super().fit(x1=x1, **options)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Decoder, noise, and the encoder where there is one."""
        x = in_one_precision("LatentGenerator.fit", data)["x1"]
        warn_about_columns("LatentGenerator.fit", "x1", x, self.columns("x1"), noisy=self.perturb.std > 0)
        frame = self._frame(x)
        rows = frame.encode(x).flatten(1)
        if self.perturb.std == 0 and self.noise is None:
            tell(
                SettingWarning,
                "LatentGenerator: without noise on the data and with a free s the likelihood of a distribution on a "
                "thin set is unbounded. Set perturb > 0, or fix noise.",
            )
        size, gain = rows.shape[1], _GAINS[self.estimator]
        parts = nn.ModuleDict(
            {"decoder": Perceptron(self.latent, size, self.hidden, gain=gain, seed=self.seed)}
        )
        if self.estimator == "iwae":
            widths = tuple(self.hidden)[::-1]
            parts["encoder"] = Perceptron(size, 2 * self.latent, widths, gain=gain, seed=self.seed + 1)
        first = _FIRST_NOISE[self.estimator] if self.first_noise is None else self.first_noise
        parts["noise"] = _Noise(self.noise, first)
        parts, objective = parts.to(rows), self.objective()
        held = self.perturb.prepare(rows)

        def batches(step: int, generator: Generator, rank: int, world: int) -> Tensor:
            pick = torch.randint(len(held), (max(1, self.batch_size // world),), generator=generator)
            drawn: Tensor = self.perturb.draw(held[pick], generator=generator)
            return drawn

        def loss(modules: Any, batch: Tensor, generator: Generator) -> dict[str, Tensor]:
            log_s, encoder = modules["noise"]().to(batch), _encoder(modules)
            nll = objective(modules["decoder"], batch, log_s, encoder=encoder, generator=generator)
            return {"nll": nll}

        parts_done: Any = finished(
            parts, run.train("likelihood", parts, loss, batches, self.training()), prefix=""
        )
        log_s = parts_done["noise"]().detach().clone()
        if self.noise is None and float(log_s.exp()) > _COLLAPSED * math.hypot(1, self.perturb.std):
            # The decoder gives the mean of the noisy data, and the latents say nothing.
            tell(
                SettingWarning,
                f"LatentGenerator: the noise s = {float(log_s.exp()):.3g} is the full spread of the data, so that "
                "samples are close to the mean. Train longer, use more points in the bound, or a smaller "
                "first_noise.",
            )
        return {
            "decoder": parts_done["decoder"],
            "encoder": _encoder(parts_done),
            "log_s": log_s,
            "frame": frame,
        }

    def _frame(self, x: Tensor) -> Standard:
        """Units in which the samples have mean zero and spread one, overall or per column."""
        who, rows = "LatentGenerator.fit", x.double().flatten(1)
        if len(rows) < 2:
            raise invalid(who, "x1 must have at least two rows", len(rows))
        if self.latent > rows.shape[1]:
            raise invalid(
                who, f"latent must be at most {rows.shape[1]}, the entries of a sample", self.latent
            )
        spread = rows.std(0)
        flat = constant_columns(x.flatten(1))
        if self.scale == "columns" and bool(flat.any()):
            remedy = "Drop them, or use scale='overall'."
            rule = "no column may be constant when each has its own scale"
            raise invalid(who, rule, f"columns {flat.nonzero().flatten().tolist()}", remedy)
        if not bool((spread > 0).any()):
            raise invalid(who, "the samples must differ", "one point, again and again")
        shape = x.shape[1:]
        unit = spread.reshape(shape) if self.scale == "columns" else spread.square().mean().sqrt()
        return Standard(rows.mean(0).reshape(shape), unit)

    # --- what the model knows

    @property
    def s(self) -> float:
        """The model's noise, in units of the data's spread."""
        return float(self.fitted_state("s")["log_s"].exp())

    @property
    def noise_level(self) -> float:
        """Standard deviation of the noise that training added, in data units, mean over columns."""
        frame = self.fitted_state("noise_level")["frame"]
        return float(self.perturb.std) * float(torch.as_tensor(frame.scale).mean())

    def cannot(self, verb: str) -> str:
        """The estimator by quadrature has no encoder."""
        missing = verb == "encode" and self.estimator == "quadrature"
        return "by quadrature there is no encoder; use estimator='iwae'." if missing else ""

    # --- capabilities

    @capability(like="x1")
    def sample(self, n: Count, *, seed: int = 0, first_index: int = 0) -> Any:
        """Draw ``f(Z)``, ``(n, *D)`` in data units: the mean of the generator, without the noise.

        Args:
            n: Number of samples.
            seed: Seed of the latents.
            first_index: Index of the first sample: sample i depends on (seed, i) only.
        """
        objective, dtype = self.objective(), self.given["x1"].torch_dtype

        def draw(source: Generator) -> Tensor:
            return objective.draw_prior(BLOCK, generator=source, dtype=dtype)

        return self.decode(by_block(draw, seed, ("latent start",), first=first_index, count=n))

    @capability(reads={"x": "x1"}, like="x")
    def encode(self, x: Tensor) -> Tensor:
        """Mean of the encoder's guess of the latents behind samples, ``(B, *D)`` -> ``(B, d)``."""
        guess: Tensor = self.state["encoder"](self._rows(x))
        return guess.chunk(2, 1)[0]

    @capability(reads={"x": "x1"}, like="x")
    def log_prob(self, x: Tensor, *, points: Count | None = None, seed: int = 0) -> Tensor:
        """Log densities ``(B,)`` of data with noise, in nats and data units; a lower bound in expectation for "iwae".

        Args:
            x: Samples with the noise that training added, ``(B, *D)``.
            points: Latents per sample; as in training when None.
            seed: Seed of the latents.
        """
        return self.log_density(x, points=points, seed=seed).log_prob

    def log_density(self, x: Tensor, *, points: int | None = None, seed: int = 0) -> LogProb:
        """:meth:`log_prob` of tensors with the noise level that the model was fitted at.

        ``likelihood.compare_log_prob`` refuses to compare two of different levels.
        """
        state, rows = self.fitted_state("log_density"), self._rows(x)
        source, log_s = generator(seed, "latent score"), state["log_s"].to(rows)
        with torch.no_grad():
            nll = self.objective(points)(
                state["decoder"], rows, log_s, encoder=state["encoder"], generator=source
            )
        value = state["frame"].log_volume(x).to(nll) - nll
        status = arrival_status(value[:, None])
        return LogProb(value, torch.zeros_like(value), x, 1, status, noise_level=self.noise_level)

    def decode(self, z: Tensor) -> Tensor:
        """``f(z)`` in data units, ``(n, d)`` -> ``(n, *D)``."""
        state = self.fitted_state("decode")
        made: Tensor = state["decoder"](z.to(self.given["x1"].torch_dtype))
        decoded: Tensor = state["frame"].decode(made.reshape(len(z), *self.shapes["x1"]))
        return decoded

    def _rows(self, x: Tensor) -> Tensor:
        """Samples as rows ``(B, D)`` in the network's units and precision."""
        encoded: Tensor = self.state["frame"].encode(x)
        return encoded.flatten(1).to(self.given["x1"].torch_dtype)


class _Noise(nn.Module):
    """``log s``: one number, learnt or fixed."""

    log_s: Tensor

    def __init__(self, fixed: float | None, first: float) -> None:
        super().__init__()
        value = torch.tensor(math.log(first if fixed is None else fixed))
        if fixed is None:
            self.log_s = nn.Parameter(value)
        else:
            self.register_buffer("log_s", value)

    def forward(self) -> Tensor:
        return self.log_s


def _encoder(parts: Any) -> Any:
    return parts["encoder"] if "encoder" in parts else None  # noqa: SIM401  # a ModuleDict has no get
