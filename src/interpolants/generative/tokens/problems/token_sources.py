"""Token sources with exact conditionals: a joint table, and a Markov source.

Both answer Bayes' question in one form: given the *evidence* ``e (B, L, V)``, the chance of what was seen at each
position if the clean token there were v, they return the marginal distributions ``(B, L, V)`` of the clean tokens. A
mask is evidence of ones, a visible token a one among zeros, a token that may be noise something in between; so one
method gives the exact network of every discrete path. Evidence that the distribution excludes altogether is answered
with uniform distributions.
"""

import math

import torch
from torch import Generator, Tensor

from interpolants.foundations.checks import positive, shaped, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import generator as seeded
from interpolants.generative.tokens.categorical import categorical_sample, check_probabilities

_MOST_STATES = 1 << 20
_STATIONARY_STEPS = 10_000


class TokenTable:
    """Any distribution of sequences of length L over V tokens, as a table of ``V^L`` probabilities.

    Args:
        table: ``(V, ..., V)`` with L axes, non-negative; normalised here.

    Raises:
        InvalidInputError: If the axes differ in length, or the table is no distribution.
    """

    def __init__(self, table: Tensor) -> None:
        if table.ndim < 1 or len(set(table.shape)) != 1 or table.numel() > _MOST_STATES:
            rule = f"table must have L axes of one length V, and at most {_MOST_STATES} entries"
            raise invalid("TokenTable", rule, tuple(table.shape))
        values = table.double()
        if not (bool((values >= 0).all()) and 0 < float(values.sum()) < math.inf):
            raise invalid(
                "TokenTable", "probabilities must be >= 0 and finite, not all 0", float(values.min())
            )
        self.table = values / values.sum()
        self.vocabulary, self.length = int(table.shape[0]), table.ndim

    @property
    def event_shape(self) -> tuple[int]:
        """``(L,)``."""
        return (self.length,)

    def sequences(self) -> Tensor:
        """All ``V^L`` sequences, ``(V^L, L)``, in the order of the flattened table."""
        one = torch.arange(self.vocabulary)
        return torch.cartesian_prod(*[one] * self.length).reshape(-1, self.length)

    def index(self, x: Tensor) -> Tensor:
        """Number of each sequence in the flattened table: ``(B, L)`` -> ``(B,)``.

        Raises:
            InvalidInputError: If a token is outside of the vocabulary, or the length is another.
        """
        shaped("TokenTable", "sequences", x, "B", self.length)
        _check_tokens("TokenTable", x, self.vocabulary)
        place = self.vocabulary ** torch.arange(self.length - 1, -1, -1, device=x.device)
        return (x * place).sum(1)

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw ``(n, L)`` int64."""
        flat = self.table.flatten().expand(n, -1)
        return self.sequences()[categorical_sample(flat, generator=generator)]

    def log_prob(self, x: Tensor) -> Tensor:
        """Log probability in nats: ``(B, L)`` -> ``(B,)``."""
        return self.table.flatten()[self.index(x)].log()

    def entropy(self) -> float:
        """Entropy of a sequence, in nats."""
        return float(torch.special.entr(self.table).sum())

    def posterior(self, evidence: Tensor) -> Tensor:
        """Marginals of the tokens given evidence ``(B, L, V)``: ``(B, L, V)`` float64."""
        rows = evidence.shape[0]
        joint = self.table.to(evidence.device).expand(rows, *self.table.shape)
        for place in range(self.length):
            shape = [rows, *(self.vocabulary if axis == place else 1 for axis in range(self.length))]
            joint = joint * evidence[:, place].double().reshape(shape)
        axes = range(1, self.length + 1)
        marginals = [joint.sum([a for a in axes if a != keep]) if self.length > 1 else joint for keep in axes]
        return _normalised(torch.stack(marginals, 1))


class MarkovTokens:
    """A Markov source of order k: each token depends on the k before it.

    ``p(x) = p(x_1 ... x_k) prod_{l > k} T(x_l | x_{l-k} ... x_{l-1})``. Marginals given evidence come from the
    forward-backward recursion over the ``V^k`` contexts, in ``O(L V^(k+1))`` per sequence.

    Args:
        transition: ``(V, ..., V)`` with k + 1 axes, oldest token first; sums to 1 over the last.
        length: L >= k.
        initial: Distribution of the first k tokens, k axes; the stationary one when None.

    Raises:
        InvalidInputError: If shapes do not fit or something is no distribution.
    """

    def __init__(self, transition: Tensor, length: int, initial: Tensor | None = None) -> None:
        if transition.ndim < 2 or len(set(transition.shape)) != 1 or transition.numel() > _MOST_STATES:
            rule = f"transition must have k + 1 axes of one length V, and at most {_MOST_STATES} entries"
            raise invalid("MarkovTokens", rule, tuple(transition.shape))
        check_probabilities(transition.double(), "MarkovTokens")
        self.order, self.vocabulary = transition.ndim - 1, int(transition.shape[0])
        self.length = whole("MarkovTokens", "length", length, at_least=self.order)
        values = transition.double()
        self.transition = values / values.sum(-1, keepdim=True)
        if initial is None:
            initial = self._stationary()
        elif initial.shape != transition.shape[:-1]:
            rule = f"initial must have shape {tuple(transition.shape[:-1])}"
            raise invalid("MarkovTokens", rule, tuple(initial.shape))
        check_probabilities(initial.double().flatten(), "MarkovTokens")
        self.initial = initial.double() / initial.double().sum()

    @classmethod
    def from_tokens(
        cls, tokens: Tensor, length: int, vocabulary: int, *, order: int = 2, smoothing: float = 0.01
    ) -> "MarkovTokens":
        """The source with the frequencies of texts, ``(N,)`` or ``(B, N)``; each count is raised by ``smoothing``."""
        rows = tokens[None] if tokens.ndim == 1 else tokens
        if rows.ndim != 2 or rows.shape[1] <= order:
            rule = f"tokens must be texts longer than {order}, (N,) or (B, N)"
            raise invalid("MarkovTokens.from_tokens", rule, tuple(tokens.shape))
        _check_tokens("MarkovTokens.from_tokens", rows, vocabulary)
        span = rows.shape[1] - order
        code = torch.zeros(len(rows), span, dtype=torch.int64)
        for k in range(order + 1):
            code = code * vocabulary + rows[:, k : k + span]
        code = code.flatten()
        counts = torch.bincount(code, minlength=vocabulary ** (order + 1)).double() + smoothing
        counts = counts.reshape((vocabulary,) * (order + 1))
        return cls(counts / counts.sum(-1, keepdim=True), length)

    @property
    def event_shape(self) -> tuple[int]:
        """``(L,)``."""
        return (self.length,)

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw ``(n, L)`` int64."""
        v, k = self.vocabulary, self.order
        first = categorical_sample(self.initial.flatten().expand(n, -1), generator=generator)
        tokens = [first // v ** (k - 1 - j) % v for j in range(k)]
        rows = self.transition.reshape(-1, v)
        context = first
        for _ in range(self.length - k):
            tokens.append(categorical_sample(rows[context], generator=generator))
            context = (context * v + tokens[-1]) % v**k
        return torch.stack(tokens, 1)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log probability in nats: ``(B, L)`` -> ``(B,)``."""
        _check_tokens("MarkovTokens", x, self.vocabulary)
        k, length = self.order, x.shape[1]
        begin = self.initial[tuple(x[:, j] for j in range(k))].log()
        steps = self.transition[tuple(x[:, j : length - k + j] for j in range(k + 1))].log()
        return begin + steps.sum(1)

    def entropy(self) -> float:
        """Entropy of a sequence, in nats, with the chain rule along its length."""
        distribution, rate = self.initial, torch.special.entr(self.transition).sum(-1)
        total = float(torch.special.entr(distribution).sum())
        for _ in range(self.length - self.order):
            total += float((distribution * rate).sum())
            distribution = self._advance(distribution)
        return total

    def posterior(self, evidence: Tensor) -> Tensor:
        """Marginals of the tokens given evidence ``(B, L, V)``: ``(B, L, V)`` float64."""
        evidence = evidence.double()
        k, length = self.order, evidence.shape[1]
        if length != self.length:
            raise invalid("MarkovTokens.posterior", f"sequences must have length {self.length}", length)
        forward = self._forward(evidence)
        backward = torch.ones_like(forward[-1])
        found: list[Tensor] = []
        for place in range(length - 1, k - 2, -1):
            joint = forward[place - k + 1] * backward
            marginals = self._marginals(joint)
            found.append(marginals[-1])
            if place == k - 1:
                found += marginals[-2::-1]
                break
            backward = self._pull(backward, evidence[:, place])
        return _normalised(torch.stack(found[::-1], 1))

    def _forward(self, evidence: Tensor) -> list[Tensor]:
        """Distributions of the contexts that end at positions k - 1 ... L - 1, ``(B, V, ..., V)``; each sums to one."""
        rows, k, v = evidence.shape[0], self.order, self.vocabulary
        message = self.initial.to(evidence.device).expand(rows, *self.initial.shape)
        for place in range(k):
            shape = [rows, *(v if axis == place else 1 for axis in range(k))]
            message = message * evidence[:, place].reshape(shape)
        found = [_scaled(message)]
        for place in range(k, evidence.shape[1]):
            moved = self._advance(found[-1]) * evidence[:, place].reshape(rows, *(1,) * (k - 1), v)
            found.append(_scaled(moved))
        return found

    def _advance(self, distribution: Tensor) -> Tensor:
        """Distributions of the next context: ``(..., V^k)`` with k axes at the end."""
        v, k = self.vocabulary, self.order
        rest = v ** (k - 1)
        lead = distribution.shape[: distribution.ndim - k]
        step = self.transition.reshape(v, rest, v).to(distribution.device)
        moved = torch.einsum("bar,ary->bry", distribution.reshape(-1, v, rest), step)
        return moved.reshape(*lead, *(v,) * k)

    def _pull(self, backward: Tensor, evidence: Tensor) -> Tensor:
        """Chance of all that is seen from the next token on, given the context before it."""
        v, k = self.vocabulary, self.order
        rest, rows = v ** (k - 1), len(evidence)
        step = self.transition.reshape(v, rest, v).to(backward.device)
        later = backward.reshape(rows, rest, v) * evidence[:, None]
        return _scaled(torch.einsum("ary,bry->bar", step, later).reshape(rows, *(v,) * k))

    def _marginals(self, joint: Tensor) -> list[Tensor]:
        """Marginals of the k tokens of a context, ``(B, V)`` each."""
        axes = range(1, self.order + 1)
        return [joint.sum([a for a in axes if a != keep]) if self.order > 1 else joint for keep in axes]

    def _stationary(self) -> Tensor:
        distribution = torch.full(
            self.transition.shape[:-1], 1 / self.vocabulary**self.order, dtype=torch.float64
        )
        for _ in range(_STATIONARY_STEPS):
            # Half a step: a source that alternates would never come to rest with whole ones.
            moved = 0.5 * (distribution + self._advance(distribution))
            if float((moved - distribution).abs().sum()) < 1e-14:
                return moved
            distribution = moved
        return distribution


def random_table(
    length: int = 4, vocabulary: int = 3, *, concentration: float = 1.0, seed: int = 0
) -> TokenTable:
    """A joint distribution drawn from a symmetric Dirichlet distribution of all tables.

    Args:
        length: L, >= 1.
        vocabulary: V, >= 2.
        concentration: Of the Dirichlet distribution, > 0; 1 is uniform over tables, less is more uneven.
        seed: Seed of the draw.

    Raises:
        InvalidInputError: If a setting is out of range.
    """
    whole("random_table", "length", length, at_least=1)
    whole("random_table", "vocabulary", vocabulary, at_least=2)
    return TokenTable(_gamma(vocabulary, length, concentration, seed, "random_table"))


def random_markov(
    length: int = 64, vocabulary: int = 8, *, order: int = 2, concentration: float = 0.2, seed: int = 0
) -> MarkovTokens:
    """A Markov source with transition probabilities drawn from a symmetric Dirichlet distribution, one per context.

    Args:
        length: L, >= 1.
        vocabulary: V, >= 2.
        order: k, number of tokens that the next one depends on, >= 1.
        concentration: Of the Dirichlet distribution, > 0.
        seed: Seed of the draw.

    Raises:
        InvalidInputError: If a setting is out of range.
    """
    whole("random_markov", "vocabulary", vocabulary, at_least=2)
    whole("random_markov", "order", order, at_least=1)
    draws = _gamma(vocabulary, order + 1, concentration, seed, "random_markov")
    # A floor keeps every token possible, so that the source forgets its beginning.
    draws = draws + 1e-3 * concentration
    return MarkovTokens(draws / draws.sum(-1, keepdim=True), length)


def _check_tokens(who: str, x: Tensor, vocabulary: int) -> None:
    """Refuse tokens outside of the vocabulary, which would be taken for others."""
    if x.numel() and (int(x.min()) < 0 or int(x.max()) >= vocabulary):
        raise invalid(who, f"tokens must be 0 ... {vocabulary - 1}", f"{int(x.min())} ... {int(x.max())}")


def _gamma(vocabulary: int, axes: int, concentration: float, seed: int, who: str) -> Tensor:
    positive(who, "concentration", concentration)
    # The power itself may have millions of digits.
    if axes > math.log2(_MOST_STATES) or vocabulary**axes > _MOST_STATES:
        raise invalid(who, f"the table must have at most {_MOST_STATES} entries", f"{vocabulary}^{axes}")
    alpha = torch.full((vocabulary,) * axes, concentration, dtype=torch.float64)
    return torch._standard_gamma(alpha, generator=seeded(seed))


def _scaled(message: Tensor) -> Tensor:
    """Messages that sum to one, or are zero."""
    total = message.flatten(1).sum(1)
    return message / total.where(total > 0, 1.0).reshape(-1, *(1,) * (message.ndim - 1))


def _normalised(distributions: Tensor) -> Tensor:
    """Distributions over the last axis; uniform ones where there is no mass at all."""
    total = distributions.sum(-1, keepdim=True)
    return torch.where(total > 0, distributions / total.where(total > 0, 1.0), 1 / distributions.shape[-1])
