"""Sequences of zeros and ones with a fixed skeleton and symbols by chance, and with a hidden regime: exact laws.

Letters: B sequences, T steps, S states (a pattern and a place in it), n length of a block.
"""

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from interpolants.foundations.checks import number, whole
from interpolants.foundations.errors import invalid

_MOST_BLOCK = 16


class SymbolSkeletons:
    """A pattern such as ``10X``, again and again from a place by chance: X is 1 with a chance, else 0.

    With several patterns each sequence has one, which nobody is told. A state is a pattern and a place; states follow
    each other in turn, so that all laws are sums over the S states at the first step.

    Args:
        patterns: Words of 0, 1 and X; equally likely.
        chance: ``P(X = 1)``.
        length: T of a sequence.
        aligned: Whether all sequences begin at the beginning of a pattern.

    Raises:
        InvalidInputError: If a pattern has other letters, or a number is out of range.

    Source: the machine is of the kind of Ahmadi & Tani (2019), arXiv:1811.01339, section 3; the regimes are ours.
    """

    def __init__(
        self,
        patterns: Sequence[str] = ("10X",),
        *,
        chance: float = 0.3,
        length: int = 24,
        aligned: bool = False,
    ) -> None:
        who = "SymbolSkeletons"
        self.chance = number(who, "chance", chance, at_least=0, at_most=1)
        self.length = whole(who, "length", length, at_least=1)
        self.patterns, self.aligned = tuple(patterns), aligned
        if isinstance(patterns, str) or not self.patterns or not all(map(_is_pattern, self.patterns)):
            raise invalid(who, "patterns must be words of 0, 1 and X", patterns, "For example, use ('10X',).")
        starts = [sum(map(len, self.patterns[:k])) for k in range(len(self.patterns))]
        letters = "".join(self.patterns)
        following = [
            start + (j + 1) % len(word)
            for start, word in zip(starts, self.patterns, strict=True)
            for j in range(len(word))
        ]
        first = [
            (1.0 if j == 0 else 0.0) if aligned else 1 / len(word)
            for word in self.patterns
            for j in range(len(word))
        ]
        self._following = torch.tensor(following)
        self._fixed = torch.tensor([letter != "X" for letter in letters])
        self._ones = torch.tensor([chance if c == "X" else float(c) for c in letters], dtype=torch.float64)
        self._first = torch.tensor(first, dtype=torch.float64) / len(self.patterns)
        self._pattern = torch.arange(len(starts)).repeat_interleave(torch.tensor([*map(len, self.patterns)]))

    @property
    def states(self) -> int:
        """S."""
        return len(self._ones)

    def walk(self, steps: int) -> Tensor:
        """States at each step of a sequence that begins in each state, ``(S, steps)``."""
        found = [torch.arange(self.states)]
        for _ in range(steps - 1):
            found.append(self._following[found[-1]])
        return torch.stack(found, 1)

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Sequences ``(n, T, 1)`` of 0.0 and 1.0."""
        start = torch.multinomial(self._first, n, replacement=True, generator=generator)
        chances = self._ones[self.walk(self.length)[start]]
        return (torch.rand(chances.shape, dtype=chances.dtype, generator=generator) < chances).double()[
            ..., None
        ]

    def log_prob(self, x: Tensor) -> Tensor:
        """Log probabilities of sequences ``(B, T, 1)``, in nats, ``(B,)``."""
        return self._joint(_symbols("SymbolSkeletons.log_prob", x)).logsumexp(1)

    def forecast(self, x: Tensor, steps: int) -> Tensor:
        """Chances of a one at each of the next steps given all before, ``(B, T, 1)`` -> ``(B, steps, 1)``.

        Its squared error is the least of all forecasts; of sequences that are impossible it is that without a past.
        """
        flat = _symbols("SymbolSkeletons.forecast", x)
        joint = self._joint(flat)
        possible = joint.isfinite().any(1, keepdim=True)
        weight = torch.where(possible, joint, self._first.log()).softmax(1)
        ahead = self._ones[self.walk(flat.shape[1] + steps)[:, flat.shape[1] :]]
        return (weight @ ahead)[..., None]

    def block_law(self, n: int) -> Tensor:
        """Probabilities of blocks of n symbols at a place by chance, ``(2^n,)``; the first symbol is the highest digit.

        Raises:
            InvalidInputError: If n is not in 1 .. 16.
        """
        whole("SymbolSkeletons.block_law", "n", n, at_least=1, at_most=_MOST_BLOCK)
        law = torch.ones(self.states, 1, dtype=torch.float64)
        for ones in self._ones[self.walk(n)].unbind(1):
            law = (law[..., None] * torch.stack([1 - ones, ones], 1)[:, None]).flatten(1)
        anywhere = torch.tensor(
            [1 / len(self.patterns[k]) for k in self._pattern.tolist()], dtype=torch.float64
        )
        return (anywhere / len(self.patterns)) @ law

    def entropy_rate(self) -> float:
        """Entropy per step of long sequences, in nats: what no forecast knows."""
        entropy = float(torch.special.entr(torch.tensor([self.chance, 1 - self.chance])).sum())
        share = [word.count("X") / len(word) for word in self.patterns]
        return entropy * math.fsum(share) / len(share)

    def found(self, x: Tensor) -> Tensor:
        """The state at the first step of each sequence ``(B, T, 1)`` whose skeleton it obeys best, ``(B,)``."""
        return self._agrees(x).double().mean(2).argmax(1)

    def obeyed(self, x: Tensor) -> Tensor:
        """Share of whole periods of each sequence in which every fixed symbol of that skeleton is right, ``(B,)``."""
        agrees, start = self._agrees(x), self.found(x)
        shares = []
        for one, state in zip(agrees, start.tolist(), strict=True):
            period = len(self.patterns[int(self._pattern[state])])
            right = one[state][: len(one[state]) // period * period].reshape(-1, period).all(1)
            shares.append(right.double().mean())
        return torch.stack(shares)

    def free(self, x: Tensor) -> Tensor:
        """Where each sequence has its symbols by chance, ``(B, T)``, with the skeleton that it obeys best."""
        return ~self._fixed[self.walk(x.shape[1])[self.found(x)]]

    def _agrees(self, x: Tensor) -> Tensor:
        """Whether a symbol is right or free, for each state at the first step, ``(B, S, T)``."""
        flat = _symbols("SymbolSkeletons", x)
        places = self.walk(flat.shape[1])
        return (self._ones[places] == flat[:, None]) | ~self._fixed[places]

    def _joint(self, flat: Tensor) -> Tensor:
        """Log chances of sequences ``(B, T)`` and their states at the first step, ``(B, S)``."""
        ones = self._ones[self.walk(flat.shape[1])]
        each = torch.where(flat[:, None] > 0.5, ones, 1 - ones).log()
        return self._first.log() + each.sum(2)


def stochastic_skeleton(*, chance: float = 0.3, length: int = 24, aligned: bool = False) -> SymbolSkeletons:
    """Sequences 1, 0, X from a place by chance.

    Args:
        chance: ``P(X = 1)``.
        length: T.
        aligned: Whether all begin with the 1.
    """
    return SymbolSkeletons(("10X",), chance=chance, length=length, aligned=aligned)


def hidden_regime(*, chance: float = 0.3, length: int = 24) -> SymbolSkeletons:
    """Half of the sequences are 1, 0 again and again, half 1, 0, X, from a place by chance.

    Args:
        chance: ``P(X = 1)``.
        length: T.
    """
    return SymbolSkeletons(("10", "10X"), chance=chance, length=length)


def _is_pattern(word: object) -> bool:
    return isinstance(word, str) and bool(word) and set(word) <= set("01X")


def _symbols(who: str, x: Tensor) -> Tensor:
    """Sequences ``(B, T)`` of 0 and 1.

    Raises:
        InvalidInputError: If they are something else.
    """
    if x.ndim != 3 or x.shape[2] != 1 or not bool(((x == 0) | (x == 1)).all()):
        raise invalid(who, "x must be sequences (B, T, 1) of 0 and 1", tuple(x.shape))
    return x[..., 0].double()
