"""Token posterior: the distribution of each clean token given the current sequence; the learnt quantity."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from interpolants.foundations.errors import invalid
from interpolants.foundations.row_times import ask
from interpolants.foundations.types import Condition
from interpolants.generative.tokens.categorical import TOLERANCE, check_probabilities
from interpolants.generative.tokens.discrete.paths import DiscretePath, Time


@runtime_checkable
class TokenDistribution(Protocol):
    """A distribution of sequences that answers Bayes' question exactly; the problems are such."""

    def posterior(self, evidence: Tensor) -> Tensor:
        """Marginal distributions ``(B, L, V)`` of the tokens, given the likelihoods ``(B, L, V)`` at each position."""
        ...


class Posterior(ABC):
    """``mu(x, t)``, the distributions ``(B, L, V)`` of the clean tokens given ``x (B, L)``; float32 or float64.

    Attributes:
        path: The path whose states it is asked about.
        uses_time: Whether the answer depends on t.
    """

    path: DiscretePath
    uses_time: bool

    @abstractmethod
    def __call__(self, x: Tensor, t: Time, cond: Condition = None) -> Tensor:
        """Distributions at every position; ``t`` a number, 0-d or ``(B,)``."""

    def at(self, x: Tensor, t: Time, places: Tensor, cond: Condition = None) -> Tensor:
        """Distributions at the positions ``places (B, K)`` only: ``(B, K, V)``."""
        return take_places(self(x, t, cond), places)

    @property
    def networks(self) -> list[nn.Module]:
        """The modules behind it."""
        return []


@runtime_checkable
class TimedNet(Protocol):
    """A network that says whether it looks at t.

    Attributes:
        uses_time: Whether it does.
    """

    uses_time: bool


class NetPosterior(Posterior):
    """A network that returns logits ``(B, L, V)``, or ``(B, L, S)`` of which the mask's are dropped.

    The softmax is taken in float64. On a masked path visible tokens keep their values.

    Args:
        net: ``net(x, t, cond)``.
        path: The path.
        uses_time: Whether the network looks at t; asked of ``net.uses_time`` when None.
    """

    def __init__(self, net: nn.Module, path: DiscretePath, *, uses_time: bool | None = None) -> None:
        self.net, self.path = net, path
        told = net.uses_time if isinstance(net, TimedNet) else True
        self.uses_time = told if uses_time is None else uses_time

    def logits(self, x: Tensor, t: Time, cond: Condition = None) -> Tensor:
        """Logits of the network, ``(B, L, V)``."""
        out: Tensor = ask(self.net, x, t, cond)
        shape = (*x.shape, self.path.vocabulary)
        if out.shape[:-1] != x.shape or out.shape[-1] not in (self.path.vocabulary, self.path.states):
            raise invalid("NetPosterior", f"the network must return logits {shape}", tuple(out.shape))
        return out[..., : self.path.vocabulary]

    def __call__(self, x: Tensor, t: Time, cond: Condition = None) -> Tensor:
        """Distributions at every position."""
        return keep_visible(self.path, x, self.logits(x, t, cond).double().softmax(-1))

    def at(self, x: Tensor, t: Time, places: Tensor, cond: Condition = None) -> Tensor:
        """Distributions at some positions; the softmax is taken there only."""
        distributions = take_places(self.logits(x, t, cond), places).double().softmax(-1)
        return keep_visible(self.path, x.gather(1, places), distributions)

    @property
    def networks(self) -> list[nn.Module]:
        """The network."""
        return [self.net]


class ExactPosterior(Posterior):
    """Bayes' rule for a known distribution of the data.

    Args:
        distribution: The distribution of the clean sequences.
        path: The path.
    """

    def __init__(self, distribution: TokenDistribution, path: DiscretePath) -> None:
        self.distribution, self.path = distribution, path
        self.uses_time = path.uses_time

    def __call__(self, x: Tensor, t: Time, cond: Condition = None) -> Tensor:
        """Distributions at every position."""
        return self.distribution.posterior(self.path.evidence(x, t))


class FunctionPosterior(Posterior):
    """Any function ``mu(x, t, cond)`` of probabilities ``(B, L, V)``, or ``(B, L, S)`` without mass on the mask.

    What it returns is checked: type, shape, and on the CPU normalisation and mass on the mask, within 1e-4.

    Args:
        function: The function.
        path: The path.
        uses_time: Whether it looks at t.

    Raises:
        InvalidInputError: When called, if the probabilities break a rule.
    """

    def __init__(self, function: Callable[..., Tensor], path: DiscretePath, *, uses_time: bool) -> None:
        self.function, self.path, self.uses_time = function, path, uses_time

    def __call__(self, x: Tensor, t: Time, cond: Condition = None) -> Tensor:
        """Distributions at every position."""
        who, path = "posterior", self.path
        mu = self.function(x, t, cond)
        if mu.shape[:-1] != x.shape or mu.shape[-1] not in (path.vocabulary, path.states):
            rule = f"mu must have shape {(*x.shape, path.vocabulary)}"
            raise invalid(
                who, rule, tuple(mu.shape), "One distribution over the clean tokens for each position."
            )
        check_probabilities(mu, who)
        clean = mu[..., : path.vocabulary]
        if mu.shape[-1] > path.vocabulary and mu.is_cpu:
            on_mask = float(mu[..., path.vocabulary].max())
            if on_mask > TOLERANCE:
                remedy = "The mask is no clean token: set its logit to -inf before the softmax."
                raise invalid(who, f"mu must have no mass on the mask, token {path.mask}", on_mask, remedy)
        return keep_visible(path, x, clean)


def as_posterior(thing: Any, path: DiscretePath) -> Posterior:
    """A posterior from itself, a network of logits, a distribution of sequences, or a function of probabilities."""
    if isinstance(thing, Posterior):
        return thing
    if isinstance(thing, nn.Module):
        return NetPosterior(thing, path)
    if isinstance(thing, TokenDistribution):
        return ExactPosterior(thing, path)
    if callable(thing):
        return FunctionPosterior(thing, path, uses_time=path.uses_time)
    remedy = "Pass a network, a distribution with posterior(evidence), or a function mu(x, t, cond)."
    raise invalid("posterior", "the argument must predict tokens", type(thing).__name__, remedy)


def take_places(values: Tensor, places: Tensor) -> Tensor:
    """Rows of ``(B, L, V)`` at positions ``(B, K)``: ``(B, K, V)``."""
    return values.gather(1, places[..., None].expand(-1, -1, values.shape[-1]))


def keep_visible(path: DiscretePath, x: Tensor, distributions: Tensor) -> Tensor:
    """Put all mass on tokens that ``x`` itself determines."""
    if path.mask is None:
        return distributions
    known = path.one_hot(x)[..., : path.vocabulary].to(distributions.dtype)
    return torch.where(path.undecided(x)[..., None], distributions, known)
