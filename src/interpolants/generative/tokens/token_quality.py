"""How good a model of tokens is: the bound on held-out sequences, and what its samples share with them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.data.alphabet import END, Alphabet
from interpolants.data.arrays import Kind as Given
from interpolants.foundations.randomness import generator
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.role import Role
from interpolants.framework.roles import read
from interpolants.framework.task import Task
from interpolants.generative.tokens.discrete.precision import token_entropy
from interpolants.generative.tokens.metrics.ngrams import ngram_distance
from interpolants.methods.questions.calls import with_seed
from interpolants.metrics.estimate import Estimate

# Sequences to show; sequences per sample that the bound is averaged over.
_SHOWN, _BOUND = 8, 4
_GRAMS = {2: "pairs", 3: "triples"}


@dataclass(frozen=True, kw_only=True)
class TokenQuality(Question):
    """The bound on the negative log-likelihood of held-out sequences, n-grams of samples, and their entropy.

    The end of a sequence counts as a token where lengths differ, in the bound and in pairs and triples.
    """

    needs: ClassVar[str] = "sample"
    numbers: ClassVar[Mapping[str, About]] = {
        "nelbo": About(
            "Bound on the negative log-likelihood of held-out data",
            unit="bits per token",
            note="An upper bound: the truth lies at or below it.",
        ),
        **{
            f"grams_{k}": About(
                f"Distance of {name} of neighbouring tokens to held-out data",
                note="Total variation between their frequencies.",
                floor_of="training data",
            )
            for k, name in _GRAMS.items()
        },
        "token_entropy": About(
            "Entropy of the tokens of samples",
            "neither",
            "bits",
            "Of their frequencies. Far below that of held-out data, samples repeat themselves.",
            "held-out data",
        ),
    }

    role: str = "tokens"
    """Role of the tokens."""
    n: Annotated[int, Ge(2)] = 500
    """Sequences to draw, and to compare with at most."""
    seed: int = 1
    """Seed of all that is drawn."""
    options: Mapping[str, Any] | None = None
    """Further arguments of the method's ``sample``, such as ``steps``."""

    def measure(self, method: Method, task: Task) -> Measured:
        """The bound where the method has one, and numbers of as many samples as there are test rows at most."""
        real, given = self._codes(task, "test")
        options = with_seed(method, "sample", self.seed)
        # A model of sequences of different lengths draws the lengths, too.
        draws_lengths = getattr(method, "inserts", self._differ(task))
        length = {} if draws_lengths else {"length": real.shape[1]}
        drawn = task.call(method, "sample", n=self.n, **length, **options, **(self.options or {}))
        made = self._read(drawn, given)
        values: dict[str, Number] = {}
        if method.can("log_prob"):
            values["nelbo"] = self._bound(method, task)
        values |= {f"grams_{k}": self._distance(k, made, real) for k in _GRAMS}
        values["token_entropy"] = _entropy(made, self._size(task))
        symbols = given.columns or method.given[self.role].columns  # numbers have those of the method
        shown = {"Samples, the first ones": made[:_SHOWN], "Held-out data": real[:_SHOWN]} if symbols else {}
        texts = {name: Alphabet(tuple(symbols)).decode(rows) for name, rows in shown.items()}
        return Measured(values, {"tokens": made, "real_tokens": real[: self.n]}, texts)

    def floors(self, task: Task) -> Mapping[str, Estimate | float | str]:
        """What training data share with held-out data."""
        (train, _), (test, _) = self._codes(task, "train"), self._codes(task, "test")
        grams = {f"grams_{k}": self._distance(k, train[: self.n], test) for k in _GRAMS}
        return {**grams, "token_entropy": _entropy(test, self._size(task))}

    def _bound(self, method: Method, task: Task) -> Tensor:
        """Bits of each held-out sequence over the mean number of tokens, whose mean is bits per token."""
        rows = task.part("test")[self.role][: _BOUND * self.n]
        log_prob = method.log_prob(rows, **with_seed(method, "log_prob", self.seed))  # type: ignore[attr-defined]
        codes = self._codes(task, "test")[0][: len(rows)]
        tokens = float((codes != END).sum()) / len(codes) + self._differ(task)
        return -torch.as_tensor(log_prob, dtype=torch.float64) / (tokens * math.log(2))

    def _differ(self, task: Task) -> bool:
        """Whether the sequences of the data have different lengths."""
        return bool((self._all(task)[0] == END).any())

    def _distance(self, k: int, x: Tensor, real: Tensor) -> Estimate:
        source = generator(self.seed, "token scores", k)
        return partial(ngram_distance, n=k, generator=source)(x, real[: len(x)])

    def _codes(self, task: Task, part: str) -> tuple[Tensor, Given]:
        """Sequences of a part, in the alphabet of all."""
        _, came = self._all(task)
        return self._read(task.part(part)[self.role], came), came

    def _size(self, task: Task) -> int:
        codes, given = self._all(task)
        return max(len(given.columns), int(codes.max()) + 1)

    def _all(self, task: Task) -> tuple[Tensor, Given]:
        data, came = read((self._tokens(),), {self.role: task.values[self.role]}, "token_quality")
        return data[self.role], came[self.role]

    def _read(self, value: Any, given: Given) -> Tensor:
        found: Tensor = read(
            (self._tokens(),), {self.role: value}, "token_quality", before={self.role: given}
        )[0][self.role]
        return found

    def _tokens(self) -> Role:
        return Role(name=self.role, kind="tokens", padded=True)


def _entropy(tokens: Tensor, size: int) -> float:
    return token_entropy(tokens[tokens != END], size) / math.log(2)
