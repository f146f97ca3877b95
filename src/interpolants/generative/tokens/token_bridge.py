"""Sequences of tokens: tokens or text in; new ones, filled gaps and bounds on log probabilities out."""

from collections.abc import Sequence
from dataclasses import field, replace
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from torch import Tensor
from torch.nn import functional

from interpolants.data.alphabet import BLANK, END, STAR, Alphabet
from interpolants.foundations import asked
from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.kinds import Check, Count, Remedy
from interpolants.foundations.registry import build, names
from interpolants.foundations.tell import OutsideWarning, tell
from interpolants.foundations.types import Condition
from interpolants.framework.capabilities import capability
from interpolants.framework.role import Role
from interpolants.framework.roles import read
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.generative.tokens.discrete.first_hitting import FirstHitting
from interpolants.generative.tokens.discrete.insertions import (
    Insert,
    InsertLoss,
    NetInsertions,
    grow,
    insert_nelbo,
)
from interpolants.generative.tokens.discrete.nelbo import Nelbo, nelbo, summed_up
from interpolants.generative.tokens.discrete.paths import DiscretePath
from interpolants.generative.tokens.discrete.posterior import NetPosterior
from interpolants.generative.tokens.discrete.sampler import TokenSampler, TokenSamples
from interpolants.generative.tokens.discrete.schedules import KeepSchedule, LinearKeep
from interpolants.generative.tokens.discrete.tau_leaping import TauLeaping
from interpolants.generative.tokens.token_training import TokenBatches, TokenBatchLoss, choose_token_net
from interpolants.methods.parts.choices import as_table, member
from interpolants.methods.parts.validation import followed
from interpolants.training.pairs import finished

# Length of the pieces of a long text, unless told otherwise.
_LENGTH = 64
# On the path of insertions: steps of sampling, and the room for sequences longer than those of the fit, as a part of
# the longest and in tokens.
_STEPS, _ROOM, _LEAST_ROOM = 64, 4, 4
# A vocabulary that nobody states has at most this many times the tokens found, and some; larger ones are codes of
# another kind (years, identifiers), for which a network would be built that no memory holds.
_TIMES, _SOME = 10, 1_000
_PROMPT = Role(name="tokens", kind="tokens", gaps=True)


def _path(who: str, path: Any) -> Any:
    """A path over tokens; a name stays one until the vocabulary is known."""
    if not isinstance(path, DiscretePath | Insert) and path not in (known := names("discrete_path")):
        raise invalid(who, "path must be a path over tokens", repr(path), nearest(str(path), known))
    return path


def _keep_schedule(who: str, wanted: Any) -> KeepSchedule:
    if isinstance(wanted, KeepSchedule):
        return wanted
    settings = dict(as_table(who, "keep_schedule", wanted))
    kind, known = str(settings.pop("kind")), names("keep_schedule")
    made = member(who, "keep_schedule", {"kind": kind if kind in known else f"{kind}_keep", **settings})
    assert isinstance(made, KeepSchedule)
    return made


def _symbols(who: str, symbols: Any) -> tuple[str, ...] | None:
    return None if symbols is None else Alphabet(tuple(symbols)).symbols


class TokenBridge(Trained):
    """Learn the distribution of token sequences as a bridge from masks, or from uniform tokens, to data.

    ::

        model = TokenBridge(seed=0).fit("a long text ...", length=64)
        model.sample(5)                                 # five new pieces of 64 characters
        model.complete("in the ____ning god created")   # blanks filled in
        print(model.nelbo("another text ..."))          # bits per character, an upper bound

    On the masked path the network needs no time, training draws how many tokens are masked rather than a time, and
    sampling goes from one unmasking to the next, in float64: `discrete.FirstHitting`.

    Sequences of different lengths are learnt by ``path="insert"``: they grow from the empty one, token by token, and
    their length is part of the answer::

        model = TokenBridge(path="insert", seed=0).fit(["london", "lima", "san jose", ...])
        model.sample(5)                                 # five new words, of lengths as learnt
        model.complete("san *", n=5)                    # "*": any number of characters, also none
        print(model.nelbo(["lisbon", "oslo"]).value)    # nats per word, its end included, an upper bound

    Raises:
        InvalidInputError: If a name or setting is unknown, or two contradict each other.

    Source: Zheng, Chen, Mao, Liu, Zhu & Zhang (2024), arXiv:2409.02908; insertions: Havasi, Karrer, Gat & Chen (2025),
    arXiv:2506.09018.
    """

    only_cpu: ClassVar[str] = "its batches of tokens are made there"
    noun: ClassVar[str] = "model"
    per_fit: ClassVar[tuple[str, ...]] = (*Trained.per_fit, "length")
    former: ClassVar = {
        "infill": "Call complete(x).",
        "judge": "Ask methods.questions.token_quality.TokenQuality on a task.",
    }

    path: Annotated[Any, Check(_path)] = field(default="masked", kw_only=False)
    """``"masked"``, ``"uniform_base"``, ``"insert"`` (sequences of different lengths), or a ``DiscretePath`` or
    ``Insert`` (which know their vocabulary)."""
    keep_schedule: Annotated[Any, Check(_keep_schedule)] = "linear"
    """Name of a schedule of revealing, ``"linear"``, ``"cosine"``, ``"polynomial"``, a table, or a ``KeepSchedule``. On
    a masked path it matters for steps on a grid of times only."""
    net: Any = "auto"
    """``"auto"`` (a transformer; it knows the positions of whole sequences ``(N, L)``, in pieces of a text their
    distances alone), the id of a network, a table with settings, or an ``nn.Module`` that takes ``(x, t, cond)`` and
    returns logits ``(B, L, V)``; of insertions as in ``discrete.insertions.NetInsertions``."""
    symbols: Annotated[str | Sequence[str] | None, Check(_symbols)] = None
    """The characters that tokens stand for; found in the data when they are text."""
    vocabulary: Count | None = None
    """Number V of tokens, where they have no symbols; found in the data when None."""
    length: Count | None = None
    """Length of the pieces of a long text; 64 when None. With ``path="insert"`` the maximum length of a sequence; when
    None a quarter more than the longest of the fit, at least 4 tokens more."""
    schedule: Annotated[
        Literal["constant", "cosine", "step"],
        Remedy("It is that of the learning rate; the schedule of revealing is called keep_schedule."),
    ] = "cosine"
    batch_size = 64
    warmup = 100

    def check_settings(self) -> None:
        """Refuse what a path of one's own has already."""
        if isinstance(self.path, DiscretePath | Insert) and (
            self.vocabulary is not None or self.keep_schedule != LinearKeep()
        ):
            rule = "a path of your own comes without vocabulary and keep_schedule"
            got = (self.vocabulary, self.keep_schedule)
            raise asked.invalid(rule, got, "It has them: Masked(vocabulary, schedule).")

    def roles(self) -> tuple[Role, ...]:
        """Sequences, and what is known of each."""
        about = "texts of one length or whole numbers (N, L); or one long text, of which pieces are learnt"
        if self.inserts:
            about = (
                "texts or lists of integers, of different lengths; or integers (N, L) with -1 behind the end"
            )
        names = tuple(self.symbols or ())
        tokens = Role(name="tokens", kind="tokens", names=names, about=about, padded=self.inserts)
        return tokens, Role(name="cond", kind="condition", optional=True)

    def fit(self, tokens: Any, *, cond: Any = None, **options: Any) -> Self:
        """Learn from sequences.

        Args:
            tokens: Whole numbers ``(N, L)``, or one long text ``(N,)`` of which pieces are learnt; a tensor, an array
                or a data set of `interpolants.data`. Or a string, or strings of one length. With ``path="insert"``
                strings or lists of numbers of different lengths, or ``(N, L)`` with -1 behind the end of each.
            cond: What is known of each sequence: labels ``(N,)`` or vectors ``(N, C)``.
            options: As in :meth:`interpolants.framework.method.Method.fit`. ``held={"tokens": ...}`` keeps the weights
                with the least loss on these sequences, or on pieces of this text.
        """
        known = {} if cond is None else {"cond": cond}
        return super().fit(tokens, **known, **options)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """The posterior, by cross-entropy; the expected numbers of insertions, by their bound."""
        x, cond = data["tokens"], data.get("cond")
        path = self._path(self._size(x))
        if isinstance(path, Insert):
            return self._learn_insertions(path, x, cond, run)
        pieces = len(x) == 1  # one long text
        length = (self.length or min(_LENGTH, x.shape[1])) if pieces else x.shape[1]
        batches = _batches(x, length, cond, self.batch_size)
        own, who = not pieces, "TokenBridge.fit"
        net = choose_token_net(self.net, path, length, cond, self.seed, own_places=own, who=who)
        loss, held = TokenBatchLoss(path), run.held
        if held:
            path.check_tokens(held["tokens"], "held tokens")

        def drawn(size: int) -> TokenBatches:
            return _batches(held["tokens"], length, held.get("cond"), size)

        settings, options = followed(run, self.training(), loss, drawn if held else None)
        result = run.train("tokens", net, loss, batches, settings, **options)
        return {"net": finished(net, result, prefix=""), "vocabulary": path.vocabulary, "length": length}

    def _learn_insertions(self, path: Insert, x: Tensor, cond: Tensor | None, run: Run) -> dict[str, Any]:
        """The network of the expected numbers; its states have equal lengths, however long the sequences are."""
        caller, max_length = "TokenBridge.fit", int((x != END).sum(1).max())
        if len(x) == 1:
            remedy = "Pass a list of them, e.g. text.split(), or learn pieces of one text with path='masked'."
            raise invalid(caller, "path='insert' needs several sequences", "a single one", remedy)
        length = self.length or max_length + max(_LEAST_ROOM, max_length // _ROOM)
        batches = _batches(_filled(x, length, caller), length, cond, self.batch_size)
        # The network's tokens are the symbols of states; its mask, the number behind them, is the end.
        symbols = replace(path, vocabulary=path.end)
        net = choose_token_net(self.net, symbols, length + 1, cond, self.seed, who=caller)
        if run.held:
            path.check_tokens(run.held["tokens"], "held tokens")

        def pick(size: int) -> TokenBatches:
            return _batches(_filled(run.held["tokens"], length, caller), length, run.held.get("cond"), size)

        settings, options = followed(
            run, self.training(), InsertLoss(path, max_length), pick if run.held else None
        )
        result = run.train("tokens", net, InsertLoss(path, max_length), batches, settings, **options)
        return {"net": finished(net, result, prefix=""), "vocabulary": path.vocabulary, "length": length}

    @property
    def inserts(self) -> bool:
        """Whether its sequences grow by insertions, and have different lengths."""
        return self.path == "insert" or isinstance(self.path, Insert)

    def _size(self, x: Tensor) -> int:
        """Number of tokens: that of the symbols, of the settings, or of what the data show."""
        symbols, found = len(self.given["tokens"].columns), int(x.max()) + 1
        size = self.path.vocabulary if isinstance(self.path, DiscretePath | Insert) else self.vocabulary
        if symbols and size not in (None, symbols):
            rule = f"the vocabulary must be the number of symbols, {symbols}"
            raise invalid("TokenBridge.fit", rule, size, "Leave it out, or pass as many symbols=.")
        size = symbols or size or _counted(x, found)
        if found > size:
            raise invalid("TokenBridge.fit", f"tokens must be 0 ... {size - 1}", found - 1)
        return size

    def _path(self, vocabulary: int) -> DiscretePath | Insert:
        if isinstance(self.path, DiscretePath | Insert):
            return self.path
        made = build("discrete_path", self.path, vocabulary=vocabulary, schedule=self.keep_schedule)
        assert isinstance(made, DiscretePath | Insert)
        return made

    def cannot(self, verb: str) -> str:
        """Prompts and bounds need a mask."""
        path = self._path(2)
        if verb not in ("complete", "log_prob") or self.inserts or path.mask is not None:
            return ""
        return f"it needs a path with a mask token, and {type(path).__name__} has none."

    # --- what it knows

    @property
    def posterior(self) -> NetPosterior:
        """The learnt posterior.

        Raises:
            InvalidInputError: If the model is not fitted, or inserts.
        """
        path = self._fitted_path("posterior")
        if isinstance(path, Insert):
            remedy = "Use insertions, the expected numbers of tokens."
            raise invalid("TokenBridge.posterior", "the path must have a posterior", "Insert", remedy)
        return NetPosterior(self.state["net"], path)

    @property
    def insertions(self) -> NetInsertions:
        """The learnt expected numbers of insertions.

        Raises:
            InvalidInputError: If the model is not fitted, or does not insert.
        """
        path = self._fitted_path("insertions")
        if not isinstance(path, Insert):
            remedy = "Use posterior."
            raise invalid("TokenBridge.insertions", "the path must be 'insert'", type(path).__name__, remedy)
        return NetInsertions(self.state["net"], path)

    def _fitted_path(self, name: str) -> DiscretePath | Insert:
        if not self.is_fitted:
            remedy = "Call fit(tokens) first."
            raise invalid(f"TokenBridge.{name}", "the model must be fitted", "one that is not", remedy)
        return self._path(self.state["vocabulary"])

    @property
    def alphabet(self) -> Alphabet:
        """The symbols that tokens stand for.

        Raises:
            InvalidInputError: If there are none.
        """
        given = self.given.get("tokens")
        symbols = (self.symbols or ()) if given is None else given.columns
        if not symbols:
            remedy = "Fit the model to text, or pass symbols= to TokenBridge."
            raise invalid("TokenBridge.alphabet", "the model must have an alphabet", "none", remedy)
        return Alphabet(tuple(symbols))

    def texts(self, tokens: Tensor) -> list[str]:
        """Tokens ``(N, L)`` as texts."""
        return self.alphabet.decode(tokens, blank=STAR if self.inserts else BLANK)

    def codes(self, texts: str | Sequence[str], *, blank: str | None = None) -> Tensor:
        """Texts of one length as tokens ``(N, L)``, the mask for each ``blank``, ``"_"`` when None.

        With ``path="insert"`` texts of any lengths, with -1 behind the shorter ones, and ``"*"`` when None.
        """
        rows = [texts] if isinstance(texts, str) else texts
        blank = (STAR if self.inserts else BLANK) if blank is None else blank
        if self.inserts:
            return self.alphabet.encode_padded(rows, blank=blank, caller="TokenBridge.codes")
        return self.alphabet.encode_rows(rows, blank=blank, who="TokenBridge.codes")

    # --- capabilities

    @capability(like="tokens")
    def sample(
        self,
        n: Count,
        length: Count | None = None,
        *,
        sampler: TokenSampler | None = None,
        steps: int | None = None,
        cond: Tensor | None = None,
        seed: int = 0,
        first_index: int = 0,
    ) -> Any:
        """Draw new sequences; sequence i does not depend on how many there are.

        Args:
            n: Number of sequences.
            length: Their length; that of the training data when None. Not with ``path="insert"``.
            sampler: How; ``FirstHitting()`` on masked paths and ``TauLeaping()`` on others when None.
            steps: For the default sampler: calls of the network, instead of one per token; faster and less exact. Of
                insertions 64 when None; at most one token is inserted per gap and step.
            cond: Condition, one for all or one row per sequence.
            seed: Seed of the noise.
            first_index: Index of the first sequence in a larger job, so that parts agree with the whole.

        Returns:
            ``n`` texts, or tokens ``(n, L)``, as those of the fit came; of insertions with -1 behind the end.
        """
        known: dict[str, Any] = {"cond": cond, "seed": seed, "first_index": first_index}
        return self.draw(n, length, sampler=sampler, steps=steps, **known).x

    @capability(reads={"x": _PROMPT}, like="x")
    def complete(
        self,
        x: Any,
        *,
        n: Count | None = None,
        length: Count | None = None,
        sampler: TokenSampler | None = None,
        steps: int | None = None,
        cond: Tensor | None = None,
        seed: int = 0,
        first_index: int = 0,
    ) -> Any:
        """Fill the gaps of prompts, each drawn from its conditional distribution given what is there.

        Args:
            x: Text with ``"_"`` for every character that is wanted, or texts of one length; or tokens with the mask,
                number V, in the gaps. A prompt shorter than ``length`` is a beginning. See :meth:`codes` where ``"_"``
                is a symbol. With ``path="insert"`` text with ``"*"`` for any number of characters, or tokens with V.
            n: How often to fill in a single prompt; once when None.
            length: Length of the answer; that of the prompt when None.
            sampler: As in :meth:`sample`, like what follows.
            steps: Calls of the network.
            cond: Condition of each prompt.
            seed: Seed of the noise.
            first_index: Index of the first sequence in a larger job.

        Returns:
            Texts if the prompt is text, else tokens; a single one for a single one.

        Raises:
            InvalidInputError: If the prompt does not fit, or ``n`` comes with several.
        """
        if len(x) > 1 and n not in (None, len(x)):
            rule = f"n goes with a single prompt; here are {len(x)}, each filled in once"
            raise invalid("TokenBridge.complete", rule, n, "Repeat the prompts.")
        times = (n or 1) if len(x) == 1 else 1
        cond = None if cond is None else cond.repeat(times, *(1,) * (cond.ndim - 1))
        known: dict[str, Any] = {"cond": cond, "seed": seed, "first_index": first_index}
        prompt, length = x.repeat(times, 1), length if self.inserts else length or x.shape[1]
        return self.draw(length=length, prompt=prompt, sampler=sampler, steps=steps, **known).x

    @capability(reads={"x": "tokens"}, like="x")
    def log_prob(
        self,
        x: Any,
        *,
        draws: Count = 8,
        cond: Tensor | None = None,
        seed: int = 0,
        first_index: int = 0,
    ) -> Tensor:
        """Lower bounds on the log probabilities of sequences, in nats, each an unbiased estimate of its bound.

        Args:
            x: Sequences, one per row, of any length; see :meth:`nelbo` for a long text.
            draws: Masks per sequence.
            cond: Condition of each sequence.
            seed: Seed of the masks.
            first_index: Index of the first sequence in a larger job.

        Returns:
            ``(B,)`` float64.
        """
        options: dict[str, Any] = {"draws": draws, "cond": cond, "seed": seed, "first_index": first_index}
        if self.inserts:
            numbers = self.insertions
            x1 = _filled(x, self.state["length"], "TokenBridge.log_prob")
            return -insert_nelbo(numbers, numbers.path, x1, **options)
        return -nelbo(self.posterior, x, **options).per_sequence

    def draw(
        self,
        n: int | None = None,
        length: int | None = None,
        *,
        prompt: Tensor | None = None,
        sampler: TokenSampler | None = None,
        steps: int | None = None,
        cond: Condition = None,
        seed: int = 0,
        first_index: int = 0,
    ) -> TokenSamples:
        """:meth:`sample` and :meth:`complete` of tokens, with the calls of the network and the times of unmasking.

        Args:
            n: Number of sequences; as many as prompts when None.
            length: As in :meth:`sample`.
            prompt: Tokens that are given, ``(L,)`` or ``(n, L)``, with the mask in the gaps.
            sampler: As in :meth:`sample`, like what follows.
            steps: Calls of the network.
            cond: Condition, a tensor with one row per sequence.
            seed: Seed of the noise.
            first_index: Index of the first sequence in a larger job.
        """
        options: dict[str, Any] = {"cond": cond, "seed": seed, "first_index": first_index}
        if self.inserts:
            if length is not None:
                rule = "path='insert' draws the lengths of sequences, and takes no length"
                raise asked.invalid(
                    rule, length, "Fit TokenBridge(path='masked') to sequences of this length."
                )
            if sampler is not None:
                remedy = "Pass steps=, the number of steps."
                raise asked.invalid("path='insert' takes no sampler", type(sampler).__name__, remedy)
            return self._grow(n, prompt, steps, options)
        posterior = self.posterior
        how = sampler or _usual_sampler(posterior.path, steps)
        size = self.state["length"] if length is None else length
        cond = cond.float() if isinstance(cond, Tensor) and cond.is_floating_point() else cond
        return how.sample(posterior, n, size, prompt=prompt, **options | {"cond": cond})

    def _grow(
        self, n: int | None, prompt: Tensor | None, steps: int | None, options: dict[str, Any]
    ) -> TokenSamples:
        """Sequences from the empty one, or from patterns ``(L,)`` or ``(n, L)``."""
        numbers, length = self.insertions, self.state["length"]
        if prompt is None:
            n = whole("TokenBridge", "n", n, at_least=1)
            prompt = torch.tensor([[self.state["vocabulary"]]])  # nothing but an open gap
        rows = prompt if prompt.ndim == 2 else prompt[None]
        if n is not None and len(rows) not in (1, n):
            rule = f"prompt must have {n} rows, one per sequence"
            raise invalid("TokenBridge.draw", rule, len(rows), "Omit the argument n.")
        rows = rows.expand(n, -1) if n is not None and len(rows) == 1 else rows
        steps = _STEPS if steps is None else whole("TokenBridge", "steps", steps, at_least=1)
        samples, full = grow(
            numbers, numbers.path, _pattern(numbers.path, rows, length), steps=steps, **options
        )
        if bool(full.any()):
            lack = f"{int(full.sum())} of {len(rows)} sequences needed more than {length} tokens, and are cut"
            tell(OutsideWarning, f"TokenBridge: {lack}. Fit with a greater length=.")
        return samples

    def nelbo(self, tokens: Any, *, draws: int = 8, cond: Any = None, seed: int = 0) -> Nelbo:
        """The bound on the negative log-likelihood of sequences, with its standard error; see ``discrete.nelbo``.

        Args:
            tokens: Sequences as in :meth:`fit`; a long text is cut into pieces.
            draws: Masks per sequence.
            cond: Condition, one row per sequence.
            seed: Seed of the masks; sequence i has the bound of :meth:`log_prob`.
        """
        x = self.pieces(tokens)
        known, _ = read(self.roles()[1:], {"cond": cond}, "TokenBridge.nelbo", before=self.given, rows=len(x))
        options: dict[str, Any] = {"draws": draws, "cond": known.get("cond"), "seed": seed}
        if not self.inserts:
            return nelbo(self.posterior, x, **options)
        numbers = self.insertions
        values = insert_nelbo(
            numbers, numbers.path, _filled(x, self.state["length"], "TokenBridge.nelbo"), **options
        )
        return summed_up(values, float((x != END).sum(1).double().mean()) + 1)

    def pieces(self, tokens: Any) -> Tensor:
        """Sequences as tokens ``(N, L)``; a long text is cut into pieces, and what is left at its end is dropped."""
        data, came = read(self.roles()[:1], {"tokens": tokens}, "TokenBridge", before=self.given)
        x: Tensor = data["tokens"]
        if self.inserts or not came["tokens"].flat:
            return x
        size = min(self.state["length"], x.shape[1])
        return x[0, : x.shape[1] // size * size].reshape(-1, size)


def _filled(x: Tensor, length: int, caller: str) -> Tensor:
    """Sequences ``(N, L)`` filled up to ``length`` with -1; longer ones are refused."""
    sizes = (x != END).sum(1)
    if int(sizes.max()) > length:
        long = f"{int((sizes > length).sum())} of {len(x)} with up to {int(sizes.max())}"
        remedy = f"Fit with length={int(sizes.max())}, or remove them."
        raise invalid(caller, f"sequences must have at most {length} tokens", long, remedy)
    x = x[:, :length]
    return functional.pad(x, (0, length - x.shape[1]), value=END)


def _pattern(path: Insert, rows: Tensor, length: int) -> Tensor:
    """Patterns ``(n, L)``, in which V is an open gap, as states ``(n, length + 1)``."""
    caller, star = "TokenBridge.complete", path.vocabulary
    is_star = rows == star
    strange = rows[(rows < END) | (rows > star)]
    if len(strange):
        rule = f"patterns must be tokens 0 ... {star - 1}, with {star} in open gaps"
        raise invalid(caller, rule, int(strange[0]))
    for k in (~is_star.any(1)).nonzero().flatten().tolist()[:1]:
        remedy = (
            f"Write '*' where tokens may be inserted, as a token {star}; see codes where '*' is a symbol."
        )
        raise invalid(caller, "each pattern must have an open gap", f"none in row {k}", remedy)
    parts = [_parts(row.tolist(), star) for row in rows]
    for k, row in enumerate(parts):
        floating = row[1:-1]
        if len(floating) > 1:
            rule = "a pattern has a beginning, one middle part and an end at most, such as 'a*b*c'"
            raise invalid(
                caller, rule, f"{len(floating)} middle parts in row {k}", "Only these were trained."
            )
    x = torch.full((len(rows), length), END)
    closed = torch.zeros(len(rows), length + 1, dtype=torch.bool)
    for k, row in enumerate(parts):
        tokens = [token for part in row for token in part]
        if len(tokens) > length:
            rule = f"patterns must have at most {length} tokens"
            raise invalid(caller, rule, f"{len(tokens)} in row {k}", "Fit with a greater length=.")
        x[k, : len(tokens)] = torch.tensor(tokens, dtype=torch.int64)
        closed[k, : len(tokens) + 1] = True
        begun = 0
        for part in row[:-1]:
            begun += len(part)
            closed[k, begun] = False
    return path.states(x, closed)


def _parts(pattern: list[int], star: int) -> list[list[int]]:
    """The known parts between the open gaps, the beginning first and the end last; either may be empty."""
    parts: list[list[int]] = [[]]
    for at, token in enumerate(pattern):
        if token == star and (at == 0 or pattern[at - 1] != star):
            parts.append([])
        elif token not in (star, END):
            parts[-1].append(token)
    return parts


def _counted(x: Tensor, found: int) -> int:
    """The vocabulary that data show."""
    distinct = len(torch.unique(x))
    if found > _TIMES * distinct + _SOME:
        rule = f"tokens must be 0 ... V - 1, with a V near the {distinct} different ones"
        remedy = "Number them: np.unique(x, return_inverse=True)[1]. Or state vocabulary=."
        raise invalid("TokenBridge.fit", rule, f"numbers up to {found - 1}", remedy)
    return max(2, found)


def _usual_sampler(path: DiscretePath, steps: int | None) -> TokenSampler:
    if path.mask is None:
        return TauLeaping() if steps is None else TauLeaping(num_steps=steps)
    return FirstHitting(num_steps=steps)


def _batches(x: Tensor, length: int, cond: Tensor | None, size: int) -> TokenBatches:
    """Batches of sequences, or of pieces of the one long text ``(1, L)``."""
    cond = cond.float() if cond is not None and cond.is_floating_point() else cond
    rows, cut = (x[0], length) if len(x) == 1 else (x, None)
    return TokenBatches(rows, size, length=cut, cond=cond, who="TokenBridge.fit")
