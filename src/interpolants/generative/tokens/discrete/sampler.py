"""Base of token samplers: starts, prompts, batches, and noise per sample."""

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, NamedTuple

import torch
from annotated_types import Interval
from torch import Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import whole
from interpolants.foundations.chunks import Chunk, Chunks
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Positive, Remedy
from interpolants.foundations.randomness import BlockNoise
from interpolants.foundations.types import Condition, check_rows
from interpolants.generative.tokens.discrete.paths import DiscretePath
from interpolants.generative.tokens.discrete.posterior import Posterior

TIME_STREAM, TOKEN_STREAM = "token time", "token"
# Where in time a posterior is asked when the size of a batch is tried out.
_SOME_TIME = 0.5


@dataclass(frozen=True)
class TokenSamples:
    """Sequences, and what they took.

    Attributes:
        x: ``(B, L)`` tokens.
        nfe: ``(B,)`` calls of the posterior in which a sequence had a part.
        draws: Categorical weights that were computed for one sequence, on average: calls of the draw times classes.
        hit_times: ``(B, L)`` time at which each token was unmasked, float64; NaN for tokens of the prompt. None on a
            path without mask.
        seed: Seed of the noise.
    """

    x: Tensor
    nfe: Tensor
    draws: float
    hit_times: Tensor | None
    seed: int


@dataclass(frozen=True)
class Walk:
    """One chunk of sequences on its way.

    ``first`` is the index of its first row in the whole job; ``own`` are the rows that were asked for, not padding.
    """

    posterior: Posterior
    x: Tensor
    cond: Condition
    first: int
    seed: int
    own: slice = field(default_factory=lambda: slice(None))

    @property
    def path(self) -> DiscretePath:
        """The path."""
        return self.posterior.path

    def noise(self, stream: str) -> BlockNoise:
        """Uniforms ``(B, L)`` in float64, one stream of draws per use."""
        rows, length = self.x.shape
        return BlockNoise(
            self.seed,
            (stream,),
            first=self.first,
            count=rows,
            shape=(length,),
            dtype=torch.float64,
            device=self.x.device,
        )


class _Walked(NamedTuple):
    """What a chunk gave, row by row; as in :class:`TokenSamples`."""

    x: Tensor
    nfe: Tensor
    draws: Tensor
    hit_times: Tensor | None


@dataclass(frozen=True, kw_only=True)
class TokenSampler(Checked, ABC):
    """A way to draw sequences; its settings, and one method.

    Raises:
        InvalidInputError: If a setting is out of range.
    """

    temperature: Annotated[Positive, Remedy("1 draws from mu.")] = 1.0
    """Each distribution is drawn from as ``mu^(1 / temperature)``, normalised; 1 draws from mu itself."""
    top_p: Annotated[float, Interval(gt=0, le=1), Remedy("1 keeps all tokens.")] = 1.0
    """Nucleus: only the most likely tokens that together hold this share are drawn; 1 keeps all."""
    needs_mask: ClassVar[bool] = False

    @abstractmethod
    def run(self, walk: Walk) -> TokenSamples:
        """Carry one chunk from t = 0 to t = 1."""

    @torch.no_grad()
    def sample(
        self,
        posterior: Posterior,
        n: int | None = None,
        length: int | None = None,
        *,
        prompt: Tensor | None = None,
        cond: Condition = None,
        seed: int | None = None,
        first_index: int = 0,
        chunk: int | None = None,
        invariant: bool = True,
        device: torch.device | str = "cpu",
        progress: Callable[[int], None] | None = None,
    ) -> TokenSamples:
        """Draw sequences; sequence i does not depend on the batch, chunk or process it is computed in.

        Args:
            posterior: mu, and the path.
            n: Number of sequences; as many as prompts when left out.
            length: L; that of the prompts when left out.
            prompt: Tokens that are given, int64, on a masked path: ``(L,)`` for all sequences or ``(n, L)``, with the
                mask where a token is wanted. Shorter prompts are the beginning of the sequences.
            cond: Condition, one row per sequence.
            seed: Seed of all noise; drawn afresh, and reported, when None.
            first_index: Index of the first sequence in the whole job, so that parts agree with one big call.
            chunk: Sequences at once; chosen for the machine's cache when None.
            invariant: Make sequence i independent of its batch to the last bit.
            device: Where to compute, if there is no prompt.
            progress: Called with the number of sequences done after each chunk.

        Raises:
            InvalidInputError: If an argument breaks its rule.
        """
        who, path = type(self).__name__, posterior.path
        if self.needs_mask and path.mask is None:
            remedy = "Use Masked(vocabulary), or TauLeaping, which needs no mask."
            raise invalid(who, "the path must have a mask token", type(path).__name__, remedy)
        whole(who, "first_index", first_index)
        seed = secrets.randbits(31) if seed is None else whole(who, "seed", seed)
        x = _starts(who, path, n, length, prompt, seed, first_index, device)
        check_rows(who, cond, len(x), "sequence")
        chunks = Chunks(
            posterior,
            lambda tokens, given: posterior(tokens, _SOME_TIME, given),
            x,
            cond,
            networks=posterior.networks,
            chunk=chunk,
            first_index=first_index,
            invariant=invariant,
        )

        def walk(part: Chunk) -> _Walked:
            done = self.run(Walk(posterior, part.x.clone(), part.cond, part.first, seed, part.own))
            draws = torch.full((len(part.x),), done.draws, dtype=torch.float64)
            return _Walked(done.x, done.nfe, draws, done.hit_times)

        walked = chunks.map(walk, progress)
        return TokenSamples(walked.x, walked.nfe, float(walked.draws.mean()), walked.hit_times, seed)

    def sharpen(self, mu: Tensor) -> Tensor:
        """The distributions that tokens are drawn from: mu, unless a temperature or a nucleus was asked for."""
        if self.temperature != 1:
            mu = (mu.double().log() / self.temperature).softmax(-1)
        if self.top_p < 1:
            ordered, order = mu.sort(-1, descending=True)
            before = ordered.cumsum(-1) - ordered
            kept = ordered.masked_fill(before >= self.top_p, 0)
            mu = torch.zeros_like(mu).scatter(-1, order, kept)
            mu = mu / mu.sum(-1, keepdim=True)
        return mu


def whole_or_none(who: str, name: str, value: int | None) -> None:
    """Refuse a setting that is neither None nor a whole number >= 1."""
    if value is not None:
        whole(who, name, value, at_least=1)


def _starts(
    who: str,
    path: DiscretePath,
    n: int | None,
    length: int | None,
    prompt: Tensor | None,
    seed: int,
    first_index: int,
    device: torch.device | str,
) -> Tensor:
    """Sequences at t = 0, ``(n, L)``, with the prompts in their places."""
    for name, value in (("n", n), ("length", length)):
        whole_or_none(who, name, value)
    if prompt is not None:
        return _prompted(who, path, n, length, prompt)
    if n is None or length is None:
        missing = "n" if n is None else "length"
        raise invalid(
            who,
            f"{missing} must be passed if prompt is omitted",
            "none",
            "For example, call sample(mu, 16, 128).",
        )
    noise = BlockNoise(
        seed,
        ("token start",),
        first=first_index,
        count=n,
        shape=(length,),
        dtype=torch.float64,
        device=device,
    )
    return path.start(noise.uniform())


def _prompted(who: str, path: DiscretePath, n: int | None, length: int | None, prompt: Any) -> Tensor:
    if path.mask is None:
        remedy = "Use a masked path: there a prompt is a state like any other, and sampling goes on from it."
        raise invalid(who, "a prompt needs a path with a mask token", type(path).__name__, remedy)
    if not isinstance(prompt, Tensor) or prompt.ndim not in (1, 2):
        got = tuple(prompt.shape) if isinstance(prompt, Tensor) else type(prompt).__name__
        raise invalid(who, "prompt must be tokens (L,) or (n, L)", got)
    rows = prompt.expand(n or 1, -1) if prompt.ndim == 1 else prompt
    path.check_tokens(rows, "prompt", states=path.states)
    if n is not None and len(rows) != n:
        raise invalid(who, f"prompt must have {n} rows, one per sequence", len(rows))
    length = rows.shape[1] if length is None else length
    if rows.shape[1] > length:
        remedy = "Shorten the prompt, or ask for longer sequences."
        raise invalid(who, f"the prompt must fit the length {length}", rows.shape[1], remedy)
    return torch.nn.functional.pad(rows, (0, length - rows.shape[1]), value=path.mask)
