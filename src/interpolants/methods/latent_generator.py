"""A generator for laws on thin sets: latents through a decoder, fitted to data with noise, shown without it.

Letters: x data of D entries, z latents of d, f the decoder, s the model's noise, ``perturb`` the noise on the data.
"""

import math
import warnings
from pathlib import Path
from typing import Any, Self

import torch
from torch import Generator, Tensor, nn

from interpolants.data.instance_noise import InstanceNoise
from interpolants.dynamics.samplers import arrival_status
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import by_block
from interpolants.foundations.randomness import generator as seeded
from interpolants.likelihood.result import LogProb
from interpolants.methods.flow_settings import check_samples, train_settings
from interpolants.nets.perceptron import Perceptron
from interpolants.objectives.marginal import MarginalLikelihood
from interpolants.training.engine import FitResult, fit
from interpolants.training.pairs import finished

# Where a learnt s starts, in units of the data's spread.
_FIRST_NOISE = 0.5
# By quadrature there is little noise in the gradient and a long way to go: a curve that folds, log s by two or more.
_TRAIN: dict[bool, dict[str, Any]] = {True: {"lr": 1e-2, "ema": 0.99}, False: {"lr": 2e-3, "ema": 0.99}}


class LatentGenerator:
    """``X = f(Z)`` with few latents, by maximum likelihood of ``f(Z) + s e`` on data with noise.

    ::

        model = LatentGenerator(1, perturb=0.1, estimator="quadrature").fit(None, x)
        y = model.sample(1000)                   # f(Z): without the noise, on a thin set like the data
        lp = model.log_prob(x_noisy).mean        # of data with noise; compare at one noise level only

    Without noise on the data the likelihood of a law on a thin set is unbounded, and its leading term says nothing of
    the law on the set. Choose ``perturb`` by a distance of samples to held-out data, never by likelihood.

    Args:
        latent: d, >= 1; at most the entries of a sample.
        perturb: Noise on the data, in units of their spread: a number for fresh noise in every batch, or
            ``data.InstanceNoise``.
        noise: s in the same units, fixed; None learns it, from 1/2. Where it ends below
            ``perturb``, training was too short for that much noise.
        estimator: ``"quadrature"`` (one latent) or ``"iwae"``; see ``objectives.MarginalLikelihood``.
        prior: ``"normal"`` or ``"uniform"``.
        points: Latents per sample in the objective; 256 by quadrature and 8 for the bound when None. The grid of a
            quadrature must be finer than the noise: the length of the curve over ``points``, below ``perturb``.
        hidden: Widths of the decoder's hidden layers; the encoder has them in reverse.
        scale: ``"overall"`` divides the data by one root mean square deviation, ``"columns"`` each column by its own.
        seed: Seed of weights, training and default draws, >= 0.
        train: Settings of the training loop, a table over our defaults (a rate of 1e-2 by quadrature, 2e-3 for the
            bound) or ``TrainSettings``.

    Attributes:
        result: How the training went; after ``fit``.
        history: Rows that the training logged; saved with the model.

    Raises:
        InvalidInputError: If a setting is unknown or out of range.

    Source: Chae, Kim, Kim & Lin (2023), arXiv:2105.04046.
    """

    def __init__(
        self,
        latent: int = 2,
        *,
        perturb: float | InstanceNoise = 0.1,
        noise: float | None = None,
        estimator: str = "iwae",
        prior: str = "normal",
        points: int | None = None,
        hidden: tuple[int, ...] | list[int] = (64, 64),
        scale: str = "overall",
        seed: int = 0,
        train: Any = None,
    ) -> None:
        who = "LatentGenerator"
        if train is None or isinstance(train, dict):
            train = _TRAIN[estimator == "quadrature"] | (train or {})
        self.settings = train_settings(train, seed, who)
        self.perturb = perturb if isinstance(perturb, InstanceNoise) else InstanceNoise(perturb)
        if noise is not None and not (math.isfinite(noise) and noise > 0):
            raise invalid(who, "noise must be None or finite and > 0", noise, "None learns it.")
        if scale not in ("overall", "columns"):
            raise invalid(who, "scale must be 'overall' or 'columns'", repr(scale))
        many = 256 if estimator == "quadrature" else 8
        self.objective = MarginalLikelihood(latent, estimator, prior, many if points is None else points)
        self.latent, self.noise, self.scale, self.seed = latent, noise, scale, seed
        self.hidden = tuple(hidden)
        self.result: FitResult | None = None
        self.history: list[dict[str, Any]] = []
        self._parts: nn.ModuleDict | None = None
        self._shape: tuple[int, ...] = ()
        self._shift = self._unit = torch.ones(1)

    def fit(self, x0: Tensor | None, x1: Tensor, *, progress: bool = False) -> Self:
        """Learn from samples.

        Args:
            x0: None: the start is the prior of the latents.
            x1: Samples ``(N, *D)``, floating point.
            progress: Show a progress bar.

        Raises:
            InvalidInputError: If ``x0`` is given, samples are not finite, fewer entries than latents, or a column is
                constant with ``scale="columns"``.
        """
        rows = self._taken(x0, x1)
        if self.perturb.std == 0 and self.noise is None:
            warnings.warn(
                "LatentGenerator: without noise on the data and with a free s the likelihood of a law on a thin set is "
                "unbounded. Give perturb > 0, or fix noise.",
                stacklevel=2,
            )
        parts = self._new_parts(rows[0])
        held = self.perturb.prepare(rows)
        share = self.settings.batch_size

        def batches(step: int, generator: Generator, rank: int, world: int) -> Tensor:
            pick = torch.randint(len(held), (max(1, share // world),), generator=generator)
            return self.perturb.draw(held[pick], generator=generator)

        def loss(modules: Any, batch: Tensor, generator: Generator) -> dict[str, Tensor]:
            return {"nll": self._loss(modules, batch, generator)}

        self.result = fit(parts, loss, batches, self.settings, progress=progress)
        self.history = [dict(row) for row in self.result.history]
        self._parts = finished(parts, self.result, prefix="")
        return self

    def _new_parts(self, like: Tensor) -> nn.ModuleDict:
        """The networks and the noise for samples like this row ``(D,)``, with their initial weights."""
        size = len(like)
        parts = nn.ModuleDict({"decoder": Perceptron(self.latent, size, self.hidden, seed=self.seed)})
        if self.objective.estimator == "iwae":
            parts["encoder"] = Perceptron(size, 2 * self.latent, self.hidden[::-1], seed=self.seed + 1)
        parts["noise"] = _Noise(self.noise)
        return parts.to(like)

    def _taken(self, x0: Tensor | None, x1: Tensor) -> Tensor:
        """Samples as scaled rows ``(N, D)``."""
        who = "LatentGenerator.fit"
        if x0 is not None:
            raise invalid(who, "x0 must be left out", "samples", "It starts from its own latents.")
        check_samples(who, "x1", x1, least=2)
        rows = x1.flatten(1)
        if self.latent > rows.shape[1]:
            raise invalid(
                who, f"latent must be at most {rows.shape[1]}, the entries of a sample", self.latent
            )
        spread = rows.std(0)
        if self.scale == "columns" and bool((spread < 1e-6 * spread.max()).any()):
            flat = (spread < 1e-6 * spread.max()).nonzero().flatten().tolist()
            remedy = "Drop them, or take scale='overall'."
            raise invalid(
                who, "no column may be constant when each has its own scale", f"columns {flat}", remedy
            )
        unit = spread if self.scale == "columns" else spread.square().mean().sqrt()
        if not bool((unit > 0).all()):
            raise invalid(who, "the samples must differ", "one point, again and again")
        self._shape, self._shift, self._unit = tuple(x1.shape[1:]), rows.mean(0), unit
        return (rows - self._shift) / self._unit

    def _loss(self, modules: Any, x: Tensor, generator: Generator) -> Tensor:
        encoder = _encoder(modules)
        log_s = modules["noise"]().to(x)
        return self.objective(modules["decoder"], x, log_s, encoder=encoder, generator=generator)

    @property
    def s(self) -> float:
        """The model's noise, in units of the data's spread."""
        return float(self._fitted("s")["noise"]().exp())

    def sample(self, n: int, *, seed: int | None = None, first: int = 0) -> Tensor:
        """Draw ``f(Z)``, ``(n, *D)`` in data units: the mean of the generator, without the noise.

        Args:
            n: Number of samples.
            seed: Seed of the latents; the model's own when None.
            first: Index of the first sample: sample i depends on (seed, i) only.
        """
        self._fitted("sample")
        seed = self.seed if seed is None else seed

        def draw(source: Generator) -> Tensor:
            return self.objective.draw_prior(64, generator=source, dtype=self._shift.dtype)

        return self.decode(by_block(draw, seed, ("latent start",), first=first, count=n))

    def decode(self, z: Tensor) -> Tensor:
        """``f(z)`` in data units, ``(n, d)`` -> ``(n, *D)``."""
        decoder = self._fitted("decode")["decoder"]
        made: Tensor = decoder(z.to(self._shift)) * self._unit + self._shift
        return made.reshape(len(z), *self._shape)

    def transport(self, x: Tensor, *, reverse: bool = False, seed: int = 0) -> Tensor:
        """Samples from standard normal starts ``(n, *D)``, whose first d entries are taken for the latents.

        Raises:
            InvalidInputError: For ``reverse``: a thin set has no inverse outside of itself.
        """
        if reverse:
            raise invalid("LatentGenerator.transport", "reverse must be False", True, "There is no way back.")
        z = x.flatten(1)[:, : self.latent]
        if self.objective.prior == "uniform":
            z = torch.special.ndtr(z)
        return self.decode(z)

    def log_prob(self, x: Tensor, *, points: int | None = None, seed: int = 0) -> LogProb:
        """Log densities of data with noise, in nats and data units; a lower bound in expectation for ``"iwae"``.

        The result carries the noise level the model was fitted at: ``compare_log_prob`` refuses another.

        Args:
            x: Samples with the noise that training added, ``(B, *D)``.
            points: Latents per sample; as in training when None.
            seed: Seed of the latents.

        Raises:
            InvalidInputError: If the model is not fitted, or samples have another shape than those of training.
        """
        parts = self._fitted("log_prob")
        objective = self.objective if points is None else _with_points(self.objective, points)
        if x.ndim < 2 or tuple(x.shape[1:]) != self._shape:
            rule = f"x must be (B, {', '.join(map(str, self._shape))}), as in training"
            raise invalid("LatentGenerator.log_prob", rule, tuple(x.shape))
        rows = (x.flatten(1).to(self._shift) - self._shift) / self._unit
        encoder = _encoder(parts)
        source, log_s = seeded(seed, "latent score"), parts["noise"]().to(rows)
        with torch.no_grad():
            value = -objective(parts["decoder"], rows, log_s, encoder=encoder, generator=source)
        value = value - self._unit.log().expand(rows.shape[1]).sum()
        level = self.perturb.std * float(self._unit.mean())
        nothing = torch.zeros_like(value)
        return LogProb(value, nothing, x, 1, arrival_status(value[:, None]), noise_level=level)

    def summary(self) -> dict[str, float]:
        """Numbers of the fit: ``noise`` s and ``perturb`` in units of the data's spread, ``loss`` as last logged."""
        self._fitted("summary")
        return {
            "noise": self.s,
            "perturb": self.perturb.std,
            "loss": float(self.history[-1]["nll"]),
        }

    def save(self, folder: str | Path) -> Path:
        """Write the model to a folder: safetensors and JSON, no code. An older one there is replaced."""
        from interpolants.methods.latent_store import save_generator

        return save_generator(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> "LatentGenerator":
        """Read a model that :meth:`save` wrote.

        Raises:
            InvalidInputError: If the folder is missing, damaged or not a latent generator.
        """
        from interpolants.methods.latent_store import load_generator

        return load_generator(Path(folder))

    def _fitted(self, what: str) -> nn.ModuleDict:
        if self._parts is None:
            raise invalid(
                f"LatentGenerator.{what}", "the model must be fitted", "one that is not", "Call fit first."
            )
        return self._parts


class _Noise(nn.Module):
    """``log s``: one number, learnt or fixed."""

    log_s: Tensor

    def __init__(self, fixed: float | None) -> None:
        super().__init__()
        value = torch.tensor(math.log(_FIRST_NOISE if fixed is None else fixed))
        if fixed is None:
            self.log_s = nn.Parameter(value)
        else:
            self.register_buffer("log_s", value)

    def forward(self) -> Tensor:
        return self.log_s


def _encoder(parts: Any) -> Any:
    return parts["encoder"] if "encoder" in parts else None  # noqa: SIM401  # a ModuleDict has no get


def _with_points(objective: MarginalLikelihood, points: int) -> MarginalLikelihood:
    return MarginalLikelihood(objective.latent, objective.estimator, objective.prior, points)
