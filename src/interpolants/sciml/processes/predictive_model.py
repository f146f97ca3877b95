"""A recurrent network with latent noise whose posterior is a free vector for every series and step, and its bound.

Letters: N series of a fit, B of a batch, T steps, C columns, L layers, Z latent units of all layers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from interpolants.foundations.asked import who
from interpolants.foundations.checks import shaped
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import generator
from interpolants.framework.series import Series
from interpolants.methods.parts.series import up_to_last_value
from interpolants.sciml.processes.latent_recurrence import LatentRecurrence, Latents, Layer
from interpolants.sciml.processes.output_laws import OutputLaw


@dataclass(frozen=True)
class MetaPrior:
    """Weights of the divergence from the prior.

    Attributes:
        later: w of each layer.
        first: w of each layer at the first step of a series.
    """

    later: tuple[float, ...]
    first: tuple[float, ...]

    def weights(self, steps: int, sizes: Sequence[int], *, begins: bool) -> Tensor:
        """One for each step and latent unit, ``(T, Z)``: w of the layer over its latent units."""
        each = [w / size for w, size in zip(self.later, sizes, strict=True) for _ in range(size)]
        found = torch.tensor(each, dtype=torch.float64).repeat(steps, 1)
        if begins:
            each = [w / size for w, size in zip(self.first, sizes, strict=True) for _ in range(size)]
            found[0] = torch.tensor(each, dtype=torch.float64)
        return found


@dataclass(frozen=True)
class Bound:
    """Both parts of the bound of each series, step by step.

    Attributes:
        accuracy: Expected log probability over the number of columns, ``(T, B)`` nats.
        complexity: Divergence from the prior times w over the number of latent units of a layer, ``(T, B)``.
        latents: Prior and posterior.
        states: h, ``(T, B, D)``.
        out: Numbers of the output, ``(T, B, K)``.
    """

    accuracy: Tensor
    complexity: Tensor
    latents: Latents
    states: Tensor
    out: Tensor

    @property
    def value(self) -> Tensor:
        """Of each step, ``(T, B)``."""
        return self.accuracy - self.complexity


class PredictiveModel(nn.Module):
    """Network and output.

    Args:
        layers: The layers, the first nearest to the output.
        posterior: ``"hidden"`` or ``"free"``.
        shared: Whether prior and posterior have one function of the state.
        law: The output.
        seed: Seed of the initial weights.
    """

    def __init__(
        self, layers: Sequence[Layer], posterior: str, shared: bool, law: OutputLaw, seed: int
    ) -> None:
        super().__init__()
        source = generator(seed, "network of a predictive model")
        self.net = LatentRecurrence(layers, posterior, shared, source)
        self.law = law
        reach = layers[0].d ** -0.5
        drawn = 2 * torch.rand(law.width, layers[0].d, dtype=torch.float64, generator=source) - 1
        self.out, self.out_bias = nn.Parameter(reach * drawn), nn.Parameter(torch.zeros(law.width).double())

    def output(self, h: Tensor) -> Tensor:
        """Numbers of the output, ``(..., K)``, of states ``(..., D)``; the first layer alone is seen."""
        return torch.nn.functional.linear(h[..., : self.net.units[0]].tanh(), self.out, self.out_bias)

    def bound(
        self,
        start: Tensor,
        a: Tensor,
        eps: Tensor,
        y: Tensor,
        seen: Tensor,
        prior: MetaPrior,
        *,
        begins: bool,
        within: Tensor | None = None,
    ) -> Bound:
        """The bound of encoded values.

        Args:
            start: h before the first step, ``(B, D)``.
            a: Adaptive vectors, ``(T, B, 2 Z)``.
            eps: Standard normal, ``(T, B, Z)``.
            y: Encoded values, ``(T, B, C)``.
            seen: Which count, ``(T, B, C)``.
            prior: Weights of the divergence.
            begins: Whether the first step is that of a series.
            within: Which steps belong to a series, ``(T, B)``, where they differ in length.

        Raises:
            InvalidInputError: If there is not one mask entry for each value.
        """
        if seen.shape != y.shape or seen.dtype != torch.bool:
            rule = f"seen must be a mask of the shape of the values, {tuple(y.shape)}"
            remedy = "Series of unequal length need one: False beyond their ends."
            raise invalid("PredictiveModel.bound", rule, f"{seen.dtype} {tuple(seen.shape)}", remedy)
        shaped("PredictiveModel.bound", "a", a, *y.shape[:2], 2 * self.net.z)
        h, u = self.net.inferred(start, a, eps)
        latents, out = self.net.latents(u, a, begins=begins), self.output(h)
        accuracy = torch.where(seen, self.law.log_prob(out, y), 0.0).mean(2)
        weights = prior.weights(len(y), self.net.latent, begins=begins)
        complexity = (latents.divergence() * weights[:, None]).sum(2)
        if within is not None:
            complexity = torch.where(within, complexity, 0.0)
        return Bound(accuracy, complexity, latents, h, out)


@dataclass(frozen=True)
class Sequences:
    """Series side by side, the shorter ones filled up.

    Attributes:
        y: Encoded values, ``(N, T, C)``, 0 where they were not seen.
        seen: Which were, ``(N, T, C)``.
        lengths: ``(N,)``.
    """

    y: Tensor
    seen: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, many: Sequence[Series], law: OutputLaw) -> "Sequences":
        """Of series, each up to its last value.

        Raises:
            InvalidInputError: If one has no value, or values that the output cannot take.
        """
        cut = [up_to_last_value(who(), one, f"series {k}") for k, one in enumerate(many)]
        for one in cut:
            law.check(one)
        longest = max(len(one) for one in cut)
        y = torch.stack([_filled(law.encoded(one.values) * one.seen, longest) for one in cut])
        seen = torch.stack([_filled(one.seen, longest) for one in cut])
        return cls(y, seen, torch.tensor([len(one) for one in cut]))

    @property
    def within(self) -> Tensor:
        """Which steps belong to a series, ``(N, T)``."""
        return torch.arange(self.y.shape[1]) < self.lengths[:, None]

    def by_length(self) -> list[tuple[list[int], int]]:
        """Rows of one length, and that length."""
        known = self.lengths.tolist()
        return [([k for k, n in enumerate(known) if n == one], one) for one in sorted(set(known))]

    def rows(self, index: Tensor) -> Mapping[str, Tensor]:
        """Some series as a batch of the training, time first."""
        y, seen, within = (part[index].transpose(0, 1) for part in (self.y, self.seen, self.within))
        return {"index": index, "y": y, "seen": seen, "within": within}


def _filled(x: Tensor, length: int) -> Tensor:
    return torch.nn.functional.pad(x, (0, 0, 0, length - len(x)))


class AdaptiveVectors(nn.Module):
    """One free vector for each series of the fit and each step, ``(N, T, 2 Z)``: means, then log deviations.

    A batch moves the vectors of its own series alone, see `RowOptimizer`; they have no weight decay.

    Args:
        series: N.
        steps: T.
        latent: Z.
    """

    def __init__(self, series: int, steps: int, latent: int) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.zeros(series, steps, 2 * latent, dtype=torch.float64))

    def forward(self, index: Tensor) -> Tensor:
        """Vectors of some series, time first."""
        return self.values[index].transpose(0, 1)


class TrainingLoss:
    """Minus the bound of each series of a batch, per step of the mean length.

    Args:
        prior: Weights of the divergence.
        steps: Mean number of steps of a series.
    """

    def __init__(self, prior: MetaPrior, steps: float) -> None:
        self.prior, self.steps = prior, steps

    def __call__(
        self, modules: nn.ModuleDict, batch: Mapping[str, Tensor], generator: Generator
    ) -> dict[str, Tensor]:
        """Both parts, ``(B,)``."""
        model, vectors = modules["model"], modules["vectors"]
        assert isinstance(model, PredictiveModel)
        a = vectors(batch["index"])
        steps, count = a.shape[:2]
        eps = torch.randn(steps, count, model.net.z, dtype=torch.float64, generator=generator)
        start = a.new_zeros(count, model.net.d)
        bound = model.bound(
            start, a, eps, batch["y"], batch["seen"], self.prior, begins=True, within=batch["within"]
        )
        return {
            "misfit": -bound.accuracy.sum(0) / self.steps,
            "complexity": bound.complexity.sum(0) / self.steps,
        }


@dataclass(frozen=True)
class SequenceBatches:
    """Series of each step: all of them where they fit into a batch."""

    sequences: Sequences
    size: int

    def __call__(self, step: int, generator: Generator, rank: int, world: int) -> Mapping[str, Tensor]:
        """Rows of the step."""
        count = len(self.sequences.y)
        if count <= self.size:
            return self.sequences.rows(torch.arange(rank, count, world))
        picked = torch.randperm(count, generator=generator)[: self.size]
        return self.sequences.rows(picked[rank::world])


@dataclass(frozen=True)
class Explained:
    """How series are explained by their vectors.

    Attributes:
        mean: Reconstructions, ``(N, T, C)`` in data units; NaN beyond the ends.
        divergence: ``KL(posterior || prior)`` of each layer at each step, in nats, ``(N, T, L)``; NaN beyond the ends.
        misfit: Minus the log probability of a step over its columns, in units of the network, ``(N, T)``; likewise.
    """

    mean: Tensor
    divergence: Tensor
    misfit: Tensor


def explained(
    model: PredictiveModel, sequences: Sequences, vectors: Tensor, prior: MetaPrior, draws: int, seed: int
) -> Explained:
    """Means over draws of the posterior of series, with their vectors ``(N, T, 2 Z)``."""
    a, batch = vectors.transpose(0, 1), sequences.rows(torch.arange(len(sequences.y)))
    steps, count, sizes = a.shape[0], a.shape[1], model.net.latent
    found = []
    for k in range(draws):
        source = generator(seed, "posterior", k)
        eps = torch.randn(steps, count, model.net.z, dtype=a.dtype, generator=source)
        start = a.new_zeros(count, model.net.d)
        bound = model.bound(start, a, eps, batch["y"], batch["seen"], prior, begins=True)
        each, ends = bound.latents.divergence(), torch.tensor(sizes).cumsum(0).tolist()
        by_layer = [each[..., end - size : end].sum(2) for size, end in zip(sizes, ends, strict=True)]
        found.append((model.law.mean(bound.out), torch.stack(by_layer, 2), -bound.accuracy[..., None]))
    parts = [torch.stack(part).mean(0).transpose(0, 1) for part in zip(*found, strict=True)]
    within = sequences.within[..., None]
    mean, divergence, misfit = (torch.where(within, part, torch.nan) for part in parts)
    return Explained(mean, divergence, misfit[..., 0])
