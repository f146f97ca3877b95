"""The estimator of sequences: tokens or text in, new ones, filled gaps and likelihood bounds out."""

from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from interpolants.data.alphabet import BLANK, Alphabet
from interpolants.discrete.first_hitting import FirstHitting
from interpolants.discrete.nelbo import Nelbo, nelbo
from interpolants.discrete.paths import DiscretePath
from interpolants.discrete.posterior import NetPosterior
from interpolants.discrete.sampler import TokenSampler
from interpolants.discrete.schedules import KeepSchedule
from interpolants.discrete.tau_leaping import TauLeaping
from interpolants.estimator import choices
from interpolants.estimator.conditions import numbers
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.randomness import generator
from interpolants.foundations.registry import build, names
from interpolants.foundations.types import Condition
from interpolants.framework.scores import Answered
from interpolants.training.engine import FitResult
from interpolants.training.token_training import learn_tokens


class TokenBridge:
    """Learns the law of token sequences as a bridge from masks, or from uniform tokens, to data.

    ::

        model = TokenBridge(seed=0).fit("a long text ...", length=64)
        model.texts(model.sample(5))                 # five new pieces of 64 characters
        model.infill("in the ____ning god created")  # blanks filled in
        print(model.nelbo("another text ..."))       # bits per character, an upper bound

    On the masked path the network needs no time, training draws how many tokens are masked rather than a time, and
    sampling goes from one unmasking to the next, in float64: `discrete.FirstHitting`.

    Args:
        path: ``"masked"``, ``"uniform_base"``, or a ``DiscretePath`` (which knows its vocabulary).
        schedule: Name of a schedule of revealing, ``"linear"``, ``"cosine"``, ``"polynomial"``, a table, or a
            ``KeepSchedule``. On a masked path it matters for steps on a grid of times only.
        net: ``"auto"`` (a transformer), the id of a network, a table with settings, or an ``nn.Module`` that takes
            ``(x, t, cond)`` and returns logits ``(B, L, V)``.
        symbols: The characters that tokens stand for; found in the data when they are text.
        vocabulary: V, for tokens without symbols; found in the data when None.
        length: Length of the pieces of a long text; 64 unless the data say otherwise.
        seed: Seed of initial weights, training and default sampling, >= 0.
        train: Settings of the training loop (see ``training.TrainSettings``).

    Raises:
        InvalidInputError: If a name or setting is unknown, or two contradict each other.

    Source: Zheng, Chen, Mao, Liu, Zhu & Zhang (2024), arXiv:2409.02908.
    """

    # What sequences start from, for reports.
    start = "masks"

    def __init__(
        self,
        path: Any = "masked",
        *,
        schedule: Any = "linear",
        net: Any = "auto",
        symbols: str | Sequence[str] | None = None,
        vocabulary: int | None = None,
        length: int | None = None,
        seed: int = 0,
        train: Mapping[str, Any] | None = None,
    ) -> None:
        who = "TokenBridge"
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise invalid(who, "seed must be an integer >= 0", seed)
        if not isinstance(path, DiscretePath) and path not in names("discrete_path"):
            known = names("discrete_path")
            raise invalid(who, "path must be a path over tokens", repr(path), nearest(str(path), known))
        if isinstance(path, DiscretePath) and (vocabulary is not None or schedule != "linear"):
            rule = "a path of your own comes without vocabulary and schedule"
            raise invalid(who, rule, (vocabulary, schedule), "It has them: Masked(vocabulary, schedule).")
        self._wanted_path, self._schedule = path, _schedule(schedule)
        self.alphabet = None if symbols is None else Alphabet(tuple(symbols))
        self._vocabulary, self.length, self.seed, self._wanted_net = vocabulary, length, seed, net
        self._wanted_alphabet, self._wanted_length = self.alphabet, length
        defaults: dict[str, Any] = {"seed": seed, "schedule": "cosine", "warmup": 100, "batch_size": 64}
        try:
            self.settings = choices.train_settings({**defaults, "lr": 2e-3, **(train or {})})
        except ValueError as error:
            raise type(error)(str(error).replace("Bridge", who, 1)) from None
        self._settings_when_made = self.settings
        self.path: DiscretePath | None = path if isinstance(path, DiscretePath) else None
        self.net: nn.Module | None = None
        self.result: FitResult | None = None
        self.history: list[dict[str, Any]] = []

    # --- learning

    def fit(
        self,
        tokens: Any,
        *,
        cond: Any = None,
        steps: int | None = None,
        batch_size: int | None = None,
        progress: bool = True,
        out: str | FilePath | None = None,
        resume: bool = False,
    ) -> "TokenBridge":
        """Learn from sequences.

        Args:
            tokens: Whole numbers ``(N, L)``, or one long text ``(N,)`` of which pieces are learnt; a tensor, an array
                or a data set of `interpolants.data`. Or a string, or strings of one length.
            cond: What is known of each sequence: labels ``(N,)`` or vectors ``(N, C)``.
            steps: Training steps, instead of the model's setting.
            batch_size: Sequences per step, instead of the model's setting.
            progress: Show a progress bar.
            out: Folder for checkpoints and logs.
            resume: Go on from the checkpoints in ``out``.

        Returns:
            The model itself, fitted.

        Raises:
            InvalidInputError: If the data are no tokens, or do not fit the vocabulary.
            DivergedError: If training leaves the finite numbers.
        """
        # Kept only once the training is done: what is refused, or breaks off, changes nothing.
        alphabet, length = self._wanted_alphabet, self._wanted_length
        symbols = getattr(getattr(tokens, "info", None), "symbols", ())
        if symbols:
            tokens = tokens.x
            if alphabet is not None and alphabet.symbols != tuple(symbols):
                rule = f"symbols must be those of the data, {''.join(symbols)!r}"
                raise invalid("TokenBridge.fit", rule, repr("".join(alphabet.symbols)), "Leave them out.")
            alphabet = Alphabet(tuple(symbols))
        elif alphabet is None and (text := _all_text(tokens)):
            alphabet = Alphabet.of(text)
        x = _tokens(tokens, "fit", alphabet, blank=None)
        cond = _condition(cond, "fit")
        overrides = {k: v for k, v in (("steps", steps), ("batch_size", batch_size)) if v is not None}
        settings = choices.train_settings({**self._settings_when_made.model_dump(), **overrides})
        path = self._make_path(x, alphabet)
        if x.ndim == 2:
            length = x.shape[1]
        elif length is None:
            length = min(64, len(x))
        learnt = learn_tokens(
            path,
            x,
            net=self._wanted_net,
            length=length,
            cond=cond,
            settings=settings,
            out=out,
            resume=resume,
            progress=progress,
            who="TokenBridge.fit",
        )
        self.alphabet, self.length, self.path, self.settings = alphabet, length, path, settings
        self.net, self.result = learnt.net, learnt.result
        self.history = [dict(row) for row in self.result.history]
        return self

    def _make_path(self, x: Tensor, alphabet: Alphabet | None) -> DiscretePath:
        given = self._wanted_path if isinstance(self._wanted_path, DiscretePath) else None
        size = self._vocabulary if given is None else given.vocabulary
        if alphabet is not None and size not in (None, len(alphabet)):
            rule = f"the vocabulary must be the number of symbols, {len(alphabet)}"
            raise invalid("TokenBridge.fit", rule, size, "Leave it out, or pass as many symbols=.")
        if given is not None:
            return given
        found = int(x.max()) + 1
        size = len(alphabet) if alphabet is not None else size
        if size is not None and found > size:
            raise invalid("TokenBridge.fit", f"tokens must be 0 ... {size - 1}", found - 1)
        made = build(
            "discrete_path",
            self._wanted_path,
            vocabulary=max(2, found) if size is None else size,
            schedule=self._schedule,
        )
        assert isinstance(made, DiscretePath)
        return made

    @property
    def posterior(self) -> NetPosterior:
        """The learnt posterior.

        Raises:
            InvalidInputError: If the model is not fitted.
        """
        if self.net is None or self.path is None:
            raise invalid(
                "TokenBridge", "the model must be fitted", "one that is not", "Call fit(tokens) first."
            )
        return NetPosterior(self.net, self.path)

    # --- using

    def sample(
        self,
        n: int,
        length: int | None = None,
        *,
        sampler: TokenSampler | None = None,
        steps: int | None = None,
        cond: Any = None,
        seed: int | None = None,
        details: bool = False,
        **options: Any,
    ) -> Any:
        """Draw new sequences; sequence i does not depend on how many there are.

        Args:
            n: Number of sequences.
            length: Their length; that of the training data when None.
            sampler: How; ``FirstHitting()`` on masked paths and ``TauLeaping()`` on others when None.
            steps: For the default sampler: calls of the network, instead of one per token; faster and less exact.
            cond: Condition, one row per sequence.
            seed: Seed of the noise; the model's own when None.
            details: Return the named result with calls and hit times instead of the tokens.
            options: Anything else that ``TokenSampler.sample`` takes: ``prompt``, ``first_index`` ...

        Returns:
            Tokens ``(n, L)``, or `discrete.TokenSamples`.
        """
        posterior = self.posterior
        how = sampler if sampler is not None else self._sampler(steps)
        done = how.sample(
            posterior,
            n,
            self.length if length is None else length,
            cond=_condition(cond, "sample"),
            seed=self.seed if seed is None else seed,
            **options,
        )
        return done if details else done.x

    def infill(
        self,
        prompt: Any,
        n: int | None = None,
        *,
        length: int | None = None,
        blank: str = BLANK,
        **options: Any,
    ) -> Any:
        """Fill the gaps of prompts, each by its conditional law given what is there.

        Args:
            prompt: Text with ``blank`` for every character that is wanted, or texts of one length; or tokens with the
                mask, number V, in the gaps. A prompt shorter than ``length`` is a beginning.
            n: How often to fill in a single prompt; once when None.
            length: Length of the answer; that of the prompt when None.
            blank: The character for a gap.
            options: As in :meth:`sample`.

        Returns:
            Texts if the prompt is text, else tokens.

        Raises:
            InvalidInputError: If the path has no mask, or the prompt does not fit.
        """
        tokens = self._tokens(prompt, "infill", blank=blank)
        if tokens.ndim == 2 and n not in (None, len(tokens)):
            rule = f"n goes with a single prompt; here are {len(tokens)}, each filled in once"
            raise invalid("TokenBridge.infill", rule, n, "Repeat the prompts.")
        rows = tokens if tokens.ndim == 2 else tokens.expand(n or 1, -1)
        done = self.sample(
            len(rows),
            rows.shape[1] if length is None else length,
            prompt=rows,
            **{**options, "details": True},
        )
        if options.get("details"):
            return done
        return self.texts(done.x) if _all_text(prompt) else done.x

    def nelbo(self, tokens: Any, *, draws: int = 8, cond: Any = None, seed: int | None = None) -> Nelbo:
        """The bound on the negative log-likelihood of sequences, with its standard error; see ``discrete.nelbo``.

        Args:
            tokens: Sequences as in :meth:`fit`; a long text is cut into pieces.
            draws: Masks per sequence.
            cond: Condition, one row per sequence.
            seed: Seed of the masks; the model's own when None.
        """
        x = self._rows(tokens, "nelbo")
        source = generator(self.seed if seed is None else seed, "token nelbo")
        return nelbo(self.posterior, x, draws=draws, cond=_condition(cond, "nelbo"), generator=source)

    def texts(self, tokens: Tensor) -> list[str]:
        """Tokens as text.

        Raises:
            InvalidInputError: If the model has no symbols.
        """
        if self.alphabet is None:
            remedy = "Fit it to text, or pass symbols= when you make it."
            raise invalid("TokenBridge.texts", "the model must know its symbols", "none", remedy)
        return self.alphabet.decode(tokens)

    def judge(self, train: Any, test: Any, *, n: int = 500, seed: int = 1) -> Answered:
        """Likelihood of held-out sequences, and what new ones share with them, beside floors and baselines.

        Args:
            train: Sequences that were learnt from, as in :meth:`fit`.
            test: Sequences that were not.
            n: Sequences to draw, and to compare with at most.
            seed: Seed of all that is drawn.
        """
        from interpolants.estimator.token_scores import judge_tokens

        return judge_tokens(self, self._rows(train, "judge"), self._rows(test, "judge"), n=n, seed=seed)

    def summary(self) -> dict[str, float]:
        """Numbers about the model itself."""
        assert self.net is not None
        return {"parameters": float(sum(p.numel() for p in self.net.parameters()))}

    # --- what goes in

    def _sampler(self, steps: int | None) -> TokenSampler:
        if self.posterior.path.mask is None:
            return TauLeaping() if steps is None else TauLeaping(num_steps=steps)
        return FirstHitting(num_steps=steps)

    def _tokens(self, data: Any, who: str, *, blank: str | None) -> Tensor:
        return _tokens(data, who, self.alphabet, blank=blank)

    def _rows(self, data: Any, who: str) -> Tensor:
        """Sequences; a long text is cut into pieces."""
        x = self._tokens(data, who, blank=None)
        if x.ndim == 2:
            return x
        size = min(self.length or len(x), len(x))
        return x[: len(x) // size * size].reshape(-1, size)

    # --- storage

    def save(self, folder: str | FilePath) -> FilePath:
        """Write the model to a folder: safetensors and JSON, no code.

        Raises:
            InvalidInputError: If the schedule or network is of your own making, which a file cannot hold.
        """
        from interpolants.estimator.token_store import save_tokens

        return save_tokens(self, FilePath(folder))

    @classmethod
    def load(cls, folder: str | FilePath) -> "TokenBridge":
        """Read a model that :meth:`save` wrote.

        Raises:
            InvalidInputError: If the folder is missing, damaged or not such a model.
        """
        from interpolants.estimator.token_store import load_tokens

        return load_tokens(FilePath(folder))

    def __repr__(self) -> str:
        state = "fitted" if self.net is not None else "not fitted"
        return f"TokenBridge(path={self.path or self._wanted_path!r}, length={self.length}, {state})"


def _schedule(wanted: Any) -> KeepSchedule:
    if isinstance(wanted, KeepSchedule):
        return wanted
    settings = {"kind": wanted} if isinstance(wanted, str) else dict(wanted)
    kind = str(settings.pop("kind", ""))
    name = kind if kind in names("keep_schedule") else f"{kind}_keep"
    made = build("keep_schedule", name if name in names("keep_schedule") else kind, **settings)
    assert isinstance(made, KeepSchedule)
    return made


def _all_text(data: Any) -> str:
    """The characters of a string or of strings, together; nothing for anything else."""
    if isinstance(data, str):
        return data
    if isinstance(data, list | tuple) and data and all(isinstance(part, str) for part in data):
        return "".join(data)
    return ""


def _tokens(data: Any, who: str, alphabet: Alphabet | None, *, blank: str | None) -> Tensor:
    """Tokens ``(N, L)`` or ``(N,)`` from anything that holds them."""
    who = f"TokenBridge.{who}"
    if isinstance(data, str) and not data:
        raise invalid(who, "text must not be empty", "''")
    if _all_text(data):
        if alphabet is None:
            remedy = "Pass symbols= when you make it, or fit it to text."
            raise invalid(who, "text needs a model that knows its symbols", "one without", remedy)
        if isinstance(data, str):
            return alphabet.encode(data, blank=blank, who=who)
        return alphabet.encode_rows(data, blank=blank, who=who)
    x = getattr(data, "x", data)
    x = x if isinstance(x, Tensor) else torch.as_tensor(np.asarray(x))
    if x.is_floating_point() or x.is_complex() or x.dtype == torch.bool or x.ndim not in (1, 2):
        got = f"{x.dtype} of shape {tuple(x.shape)}"
        raise invalid(who, "there must be whole numbers, (N, L) or (N,), or text", got)
    if x.numel() == 0 or int(x.min()) < 0:
        found = "none" if x.numel() == 0 else int(x.min())
        raise invalid(who, "tokens must be >= 0, and there must be some", found)
    return x.long()


def _condition(cond: Any, who: str) -> Condition:
    """Labels ``(N,)`` or vectors ``(N, C)`` from what a user gave; what a network of one's own takes stays as it is."""
    if cond is None or isinstance(cond, dict | tuple):
        return cond
    tensor = numbers(cond, f"TokenBridge.{who}", "cond")
    return tensor[:, None] if tensor.is_floating_point() and tensor.ndim == 1 else tensor
