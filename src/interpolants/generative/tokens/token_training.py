"""Training of the posterior of a path over tokens: batches of sequences, the loss, and the loop."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from interpolants.foundations.errors import invalid
from interpolants.foundations.types import Condition, check_rows, take_rows
from interpolants.generative.tokens.discrete.insertions import Insert
from interpolants.generative.tokens.discrete.objectives import DiscreteFlowLoss, MaskedCrossEntropy, TokenLoss
from interpolants.generative.tokens.discrete.paths import DiscretePath
from interpolants.generative.tokens.discrete.posterior import NetPosterior
from interpolants.nets.build import named_net
from interpolants.training.engine import FitResult, fit
from interpolants.training.pairs import finished
from interpolants.training.settings import TrainSettings

# Time features of a network on a path whose posterior depends on the time.
_TIME_FEATURES = 16


class TokenBatches:
    """The batch of a step, ``{"x1", "cond"}``: a function of the step's generator alone.

    Args:
        tokens: Sequences ``(N, L)``, or one long text ``(N,)`` out of which pieces are cut at random places.
        size: Rows per step, over all processes.
        length: Length of the pieces of a long text.
        cond: What is known of each sequence.
        who: Name of the caller, used in error messages.

    Raises:
        InvalidInputError: If there is no whole sequence, a length was given for sequences, or conditions do
            not fit.
    """

    def __init__(
        self,
        tokens: Tensor,
        size: int,
        *,
        length: int | None = None,
        cond: Condition = None,
        who: str = "TokenBatches",
    ) -> None:
        if tokens.dtype != torch.int64 or tokens.ndim not in (1, 2) or tokens.numel() == 0:
            got = f"{tokens.dtype} of shape {tuple(tokens.shape)}"
            raise invalid(who, "tokens must be int64, (N, L) or one text (N,)", got)
        if tokens.ndim == 1:
            if length is None or not 1 <= length <= len(tokens):
                rule = f"one text of {len(tokens)} tokens needs a length, 1 ... {len(tokens)}"
                raise invalid(who, rule, length, "It is the length of the pieces that are learnt from.")
            if cond is not None:
                raise invalid(who, "a condition needs sequences", "one text", "Cut it yourself.")
            tokens = tokens.unfold(0, length, 1)
        elif length not in (None, tokens.shape[1]):
            rule = f"length must be None or the length of the sequences, {tokens.shape[1]}"
            raise invalid(who, rule, length)
        check_rows(who, cond, len(tokens), "sequence")
        self.tokens, self.size, self.cond = tokens, size, cond

    def __call__(self, step: int, generator: Generator, rank: int, world: int) -> dict[str, Any]:
        """The share of this process in the batch of ``step``."""
        pick = torch.randint(len(self.tokens), (max(1, self.size // world),), generator=generator)
        return {"x1": self.tokens[pick], "cond": take_rows(self.cond, pick)}


@dataclass(frozen=True)
class LearntTokens:
    """A posterior that was learnt, the network behind it, and how the training went."""

    posterior: NetPosterior
    net: nn.Module
    result: FitResult


def learn_tokens(
    path: DiscretePath,
    tokens: Tensor,
    *,
    net: Any = "auto",
    loss: TokenLoss | None = None,
    length: int | None = None,
    cond: Tensor | None = None,
    settings: TrainSettings | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool = False,
    who: str = "learn_tokens",
) -> LearntTokens:
    """Learn the posterior of a path by cross-entropy.

    Args:
        path: The path.
        tokens: Clean sequences ``(N, L)``, or one long text ``(N,)``.
        net: ``"auto"`` (a transformer, with time where the path's posterior uses it, and with a vector for each
            position of sequences ``(N, L)``), the id of a network, a table ``{"kind": id, **settings}``, or an
            ``nn.Module`` that returns logits.
        loss: The likelihood bound on masked paths and the flow's cross-entropy on others when None.
        length: Length of the pieces of a long text.
        cond: What is known of each sequence: labels ``(N,)`` or vectors ``(N, C)``.
        settings: Settings of the training loop.
        out: Folder for checkpoints and logs.
        resume: Go on from the checkpoints in ``out``.
        progress: Show a progress bar.
        who: Name of the caller, used in error messages.

    Returns:
        The posterior with averaged weights, the network, and the result of the training.

    Raises:
        InvalidInputError: If tokens, network or settings do not fit.
    """
    settings = TrainSettings() if settings is None else settings
    batches = TokenBatches(tokens, settings.batch_size, length=length, cond=cond, who=who)
    path.check_tokens(tokens.reshape(1, -1), "tokens")
    own_places, places = tokens.ndim == 2, batches.tokens.shape[1]
    network = choose_token_net(net, path, places, cond, settings.seed, own_places=own_places, who=who)
    result = fit(
        network, TokenBatchLoss(path, loss), batches, settings, out=out, resume=resume, progress=progress
    )
    network = finished(network, result, prefix="")
    return LearntTokens(NetPosterior(network, path), network, result)


def choose_token_net(
    net: Any,
    path: DiscretePath | Insert,
    length: int,
    cond: Tensor | None,
    seed: int,
    *,
    own_places: bool = False,
    who: str,
) -> nn.Module:
    """A transformer, or what was asked for, for the vocabulary of a path.

    Where sequences are no pieces of a text, every place may have a distribution of its own (``own_places``), and a
    transformer learns a vector for each unless it is told otherwise.
    """
    if isinstance(net, nn.Module):
        return net
    asked = {"kind": net} if isinstance(net, str) else dict(net)
    if asked.get("kind", "auto") == "auto":
        asked["kind"] = "token_transformer"
    if asked["kind"] == "token_transformer":
        asked.setdefault("positions", own_places)
    given: dict[str, Any] = {"vocabulary": path.vocabulary, "seed": seed}
    given["time_features"] = _TIME_FEATURES if path.uses_time else 0
    if cond is not None:
        labels = not cond.is_floating_point()
        given |= {"n_classes": int(cond.max()) + 1} if labels else {"cond_dim": cond.shape[1]}
    return named_net(asked, (length,), who=who, **given).float()  # whatever torch's default type


class TokenBatchLoss:
    """A loss of tokens in the form that the training loop calls.

    Args:
        path: The path.
        loss: The likelihood bound on masked paths and the flow's cross-entropy on others when None.
    """

    def __init__(self, path: DiscretePath, loss: TokenLoss | None = None) -> None:
        usual = DiscreteFlowLoss(path) if path.mask is None else MaskedCrossEntropy(path)
        self.loss: TokenLoss = usual if loss is None else loss

    def __call__(self, net: Any, batch: Mapping[str, Any], generator: Generator) -> dict[str, Tensor]:
        """Cross-entropies ``(B,)`` of a batch."""
        cond = None if batch["cond"] is None else batch["cond"].to(generator.device)
        x1 = batch["x1"].to(generator.device)
        return {"cross_entropy": self.loss(net, x1, generator=generator, cond=cond)}
