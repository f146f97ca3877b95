"""One transformer for solution operators and governing equations, over many families of dynamical systems.

Letters: N trajectories, S points of a window, D states of the largest system, d of one, Q query times.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from annotated_types import Ge, Interval
from torch import Generator, Tensor

from interpolants.data.equation_tokens import EquationTokens, InvalidEquationError
from interpolants.data.equation_trees import Ends, read_system, shown_system
from interpolants.foundations.asked import invalid, who
from interpolants.foundations.checks import number
from interpolants.foundations.kinds import Count, Positive, Share
from interpolants.foundations.randomness import BLOCK
from interpolants.foundations.tell import OutsideWarning, tell
from interpolants.framework.capabilities import capability, verb
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.sciml.symbolic.examples import (
    ExampleBatches,
    TwoLosses,
    Windows,
    examples,
    padded_hints,
)
from interpolants.sciml.symbolic.hints import hidden
from interpolants.sciml.symbolic.network import SymbolicOperatorNet, Tokens
from interpolants.sciml.symbolic.problems.equation_families import EquationFamilies
from interpolants.sciml.symbolic.refinement import Refined, integrated, refine
from interpolants.sciml.symbolic.trajectory_roles import Paths, times_by_window
from interpolants.sciml.symbolic.writing import written
from interpolants.training.pairs import finished

verb("identify", "x")
X = Role(name="x", kind="trajectories", about="File with a column of times, then one column per state.")
HINT = Role(
    name="hint",
    kind="equations",
    optional=True,
    about="A rough guess, as 'a*(u2 - u1) | ... | ...', or a file.",
)
# Rows whose error in their own window says what is usual, and how many times more is unusual.
_USUAL, _UNUSUAL, _LEAST_UNUSUAL = 256, 3.0, 0.1
# A window may be so much longer than those of the training; integration makes so many steps per unit of the window.
_SLACK, _STEPS = 1.001, 200
# Texts of one row that a search may keep: 64 rows are written at once.
Beams = Annotated[int, Interval(ge=1, le=64)]
_NO_SYMBOLS = "it was made with symbols=False: a network of values alone writes no equations"


class SymbolicOperatorTransformer(Trained):
    """Predict the rest of a trajectory, and write down the equation that governs it, from its first part.

    ::

        families = problems.EquationFamilies(systems=("lorenz", "rossler"))
        model = SymbolicOperatorTransformer(steps=3000).fit(families)
        later = model.predict(window)                # window (S, 1 + d): times, then states; later like it
        model.identify(window)                       # ["10.02*(u2 - u1) | u1*(27.9 - u3) - u2 | ..."]
        model.equations(window)                      # the same as sympy expressions

    A window's points and a rough guess of its equation (numbers hidden, a term missing or too many, or nothing) are
    encoded apart and fused by self-attention. One decoder answers query times, each by itself; the other writes the
    equation in Polish notation, within its grammar. The constants are then corrected by least squares: the equation is
    integrated and compared with the window.

    It knows the families that it was trained on, and nothing else: a window that it cannot reproduce is warned of.

    Raises:
        InvalidInputError: If a setting is out of range.

    Source: Liu, Zhang & Schaeffer (2024), arXiv:2309.16816. Ours: patches of points, the scale as an input, decoding
    within the grammar, constants by least squares, query times inside of the window too.
    """

    only_cpu: ClassVar[str] = "equations are written and refined on the CPU"
    noun: ClassVar[str] = "model"

    equations_drawn: Count = 4000
    """Equations of the training set, drawn from the families."""
    starts: Count = 2
    """Trajectories of each."""
    symbols: bool = True
    """Whether it reads guesses and writes equations; without, it is a network of values alone."""
    hint: Literal["skeleton", "known"] = "skeleton"
    """What guesses look like in training: ``"skeleton"`` hides the numbers, ``"known"`` shows them."""
    blind: Share = 0.2
    """Share of training rows without a guess."""
    patch: Count = 4
    """Points of a window that become one token."""
    width: Count = 64
    """Width of the network."""
    heads: Count = 4
    """Attention heads."""
    depths: tuple[Count, Count, Count, Count, Count] = (1, 1, 2, 2, 1)
    """Layers of the encoders of values and symbols, of the fusion, and of the decoders of trajectories and of
    equations."""
    queries: Count = 24
    """Query times of a training row, drawn anew at each step."""
    data_weight: Positive = 6.0
    """Weight of the squared relative error beside the cross-entropy of the words."""
    longest: Annotated[int, Ge(2)] = 150
    """Most tokens of an equation."""
    steps = 3000
    batch_size = 48
    lr = 2e-3
    warmup = 200
    ema = 0.998

    def check_settings(self) -> None:
        """Refuse a width that the heads do not part evenly."""
        if self.width % (2 * self.heads):
            raise invalid("width must be an even multiple of heads", (self.width, self.heads))

    def roles(self) -> tuple[Role, ...]:
        """The families; there are no data."""
        return (Role(name="problem", kind="problem", axis="", about="Families of dynamical systems."),)

    def fit(self, problem: Any, **options: Any) -> Self:
        """Learn from trajectories of families.

        Args:
            problem: :class:`interpolants.sciml.symbolic.EquationFamilies`.
            options: As in :meth:`interpolants.framework.method.Method.fit`.
        """
        return super().fit(problem, **options)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Draw equations and trajectories, then train."""
        families = checked_families(data["problem"])
        tokens = EquationTokens(families.states, self.longest) if self.symbols else None

        def draw(source: Generator) -> dict[str, Tensor]:
            drawn = families.draw(self.equations_drawn, self.starts, seed=self.seed, name="training")
            return {**examples(drawn, tokens, self.hint, source), "rejected": torch.tensor(drawn.rejected)}

        drawn = run.once("equations", draw)
        net = SymbolicOperatorNet(
            families.states, len(tokens) if tokens else 0, patch=self.patch, width=self.width, heads=self.heads,
            depths=self.depths, seed=self.seed,
        )  # fmt: skip
        batches = ExampleBatches(drawn, families.end, self.patch, self.batch_size, self.queries, self.blind)
        result = run.train("net", net, TwoLosses(self.data_weight), batches, self.training())
        state = {"net": finished(net, result, prefix=""), "states": families.states, "window": families.window,
                 "end": families.end, "names": tuple(one.name for one in families.systems)}  # fmt: skip
        return {**state, "usual": self._usual(state, drawn)}

    def _usual(self, state: dict[str, Any], drawn: dict[str, Tensor]) -> float:
        """Error of the window's own reproduction that 95 of 100 training rows stay below."""
        rows = torch.unique(torch.linspace(0, len(drawn["times"]) - 1, _USUAL).long())
        window, dims = drawn["window"][rows], drawn["dims"][rows]
        times = drawn["times"][rows, : window.shape[1]]
        with torch.no_grad():
            windows = Windows.of(times, window, dims, end=state["end"], patch=self.patch)
            errors = _reproduced(state["net"], windows, windows.encoded(state["net"], None, None))
        return float(errors.quantile(0.95))

    # --- answers

    def columns(self, name: str) -> tuple[str, ...]:
        """Trajectories keep the names that they come with."""
        return ()

    def cannot(self, verb: str) -> str:
        """A network of values alone writes no equations."""
        return _NO_SYMBOLS if verb == "identify" and not self.symbols else ""

    @capability(reads={"x": X, "hint": HINT}, like="x")
    def predict(
        self,
        x: list[Tensor],
        hint: list[Ends] | None = None,
        *,
        end: float = 0.0,
        steps: Count = 128,
        times: Any = None,
        by: Literal["operator", "equation"] = "operator",
        beams: Beams = 1,
    ) -> Any:
        """How trajectories go on, from what was seen of them.

        Args:
            x: Windows, times first; at most as long as those of the training.
            hint: A rough guess of the equation of each, or one for all.
            end: Last time, counted like those of x; 0 for the last one of the training.
            steps: Evenly spaced times after the window.
            times: These times instead, counted like those of x: ``(Q,)`` for all windows alike, or ``(N, Q)`` or a
                list of N arrays, of any lengths, for one window each.
            by: ``"operator"``: the network's own; ``"equation"``: the written equation is refined and integrated.
            beams: With ``by="equation"``: as in :meth:`identify`.
        """
        if by == "equation" and not self.symbols:
            raise invalid("by='equation' needs a model that writes equations", _NO_SYMBOLS)
        for k, one in enumerate(x):  # a window in other units of time is told of as such
            self._check(one, None if hint is None else hint[k])
        own = times_by_window(who(), times, len(x))
        asked = [self._asked_times(one, end, steps, at) for one, at in zip(x, own, strict=True)]
        if by == "equation":
            refined = self._refined(x, hint, beams)
            return Paths(
                [_integrated(one, window, at) for one, window, at in zip(refined, x, asked, strict=True)]
            )
        found: dict[int, Tensor] = {}
        for rows, windows, tokens in self._blocks(x, hint, asked):
            since = torch.stack([asked[k] - x[k][0, 0] for k in _filled(rows)]) / self.state["end"]
            values = self.state["net"].at(since.float(), tokens).double() * windows.scale[:, None, None]
            self._warn_if_unlike(rows, windows, tokens)
            for k, states in zip(rows, values, strict=False):
                found[k] = torch.cat([asked[k][:, None], states[:, : x[k].shape[1] - 1]], 1)
        return Paths([found[k] for k in range(len(x))])

    @capability(reads={"x": X, "hint": HINT})
    def identify(
        self,
        x: list[Tensor],
        hint: list[Ends] | None = None,
        *,
        refine: bool = True,
        free: bool = False,
        beams: Beams = 1,
    ) -> list[str]:
        """The equations that govern trajectories: a list of texts, one per trajectory, also for one.

        A text is ``"u1' | u2' | ..."`` in the states u1, u2, ... of its trajectory; ``read_system`` reads it.

        Args:
            x: Windows, times first; at most as long as those of the training.
            hint: A rough guess of the equation of each, or one for all.
            refine: Correct the constants by least squares: integrate, and compare with the window.
            free: Write without the grammar: what is no system of equations is an empty text.
            beams: Texts that are kept while an equation is written. 1 takes the likeliest word each time; more find
                likelier texts, in so many times the time.
        """
        if refine and not free:
            return [shown_system(one.system) for one in self._refined(x, hint, beams)]
        found = self._written(x, hint, free=free, beams=beams)
        return ["" if one is None else shown_system(one) for one in found]

    def equations(self, x: Any, hint: Any = None, *, beams: int = 1) -> list[tuple[Any, ...]]:
        """:meth:`identify` as sympy expressions in the symbols u1, u2, ...: one tuple per trajectory."""
        found = self.identify(x, hint, beams=beams)
        return [tuple(tree.sympy() for tree in read_system(text)) for text in found]

    # --- how answers are made

    def _asked_times(self, window: Tensor, end: float, steps: int, times: Tensor | None) -> Tensor:
        """Times of the answer, counted like those of the window."""
        first, last = float(window[0, 0]), float(window[-1, 0])
        latest = first + self.state["end"]
        if times is None:
            until = number(who(), "end", end) if end else latest
            number(
                who(),
                "end",
                until,
                above=last,
                at_most=latest * _SLACK + 1e-9,
                remedy=_within(first, latest),
            )
            return last + torch.arange(1, steps + 1, dtype=torch.float64) / steps * (until - last)
        outside = times[~((times >= first) & (times <= latest + 1e-9))]
        if len(outside):
            rule = f"times must lie in [{first:g}, {latest:g}]"
            raise invalid(rule, f"{float(outside[0]):g}", _within(first, latest))
        return times

    def _written(
        self, x: Sequence[Tensor], hint: Sequence[Ends] | None, *, free: bool, beams: int
    ) -> list[Ends | None]:
        vocabulary = EquationTokens(self.state["states"], self.longest)
        found: dict[int, Ends | None] = {}
        for rows, windows, tokens in self._blocks(x, hint):
            dims = windows.about[:, 1:].sum(1).long()
            self._warn_if_unlike(rows, windows, tokens)
            texts = written(self.state["net"], vocabulary, tokens, dims, free=free, beams=beams)
            for k, codes in zip(rows, texts, strict=False):
                found[k] = _read(vocabulary, codes, x[k].shape[1] - 1)
        return [found[k] for k in range(len(x))]

    def _refined(self, x: Sequence[Tensor], hint: Sequence[Ends] | None, beams: int) -> list[Refined]:
        systems = [one for one in self._written(x, hint, free=False, beams=beams) if one is not None]
        return refine(systems, x)

    def _blocks(
        self,
        x: Sequence[Tensor],
        hint: Sequence[Ends] | None,
        asked: Sequence[Tensor] | None = None,
    ) -> Iterator[tuple[list[int], Windows, Tokens]]:
        """Rows of one size in blocks of 64, the last one filled up: a row's answer depends on no other row."""
        if hint is not None and not self.symbols:
            raise invalid("a model of values alone takes no hint", "a hint", "Leave it out.")
        sizes: dict[tuple[int, int, int], list[int]] = {}
        for k, window in enumerate(x):
            self._check(window, None if hint is None else hint[k])
            sizes.setdefault((*window.shape, 0 if asked is None else len(asked[k])), []).append(k)
        for rows in sizes.values():
            for first in range(0, len(rows), BLOCK):
                block = rows[first : first + BLOCK]
                windows = self._windows([x[k] for k in _filled(block)])
                yield (
                    block,
                    windows,
                    self._fused(windows, None if hint is None else [hint[k] for k in _filled(block)]),
                )

    def _windows(self, parts: Sequence[Tensor]) -> Windows:
        stacked = torch.stack(list(parts))
        dims = torch.full((len(stacked),), stacked.shape[2] - 1)
        values = stacked.new_zeros(*stacked.shape[:2], self.state["states"])
        values[..., : stacked.shape[2] - 1] = stacked[..., 1:]
        return Windows.of(
            stacked[..., 0] - stacked[:, :1, 0], values, dims, end=self.state["end"], patch=self.patch
        )

    def _fused(self, windows: Windows, hints: Sequence[Ends] | None) -> Tokens:
        if not self.symbols or hints is None:
            return windows.encoded(self.state["net"], None, None)
        vocabulary = EquationTokens(self.state["states"], self.longest)
        told = [hidden(hint, numbers=self.hint == "skeleton") for hint in hints]
        return windows.encoded(self.state["net"], *padded_hints(vocabulary, told, self.longest))

    def _check(self, window: Tensor, hint: Ends | None) -> None:
        d, longest = window.shape[1] - 1, self.state["window"]
        if d > self.state["states"]:
            rule = f"the window must have at most {self.state['states']} states, as in the training data"
            raise invalid(rule, d, "The first column holds the times.")
        span = float(window[-1, 0] - window[0, 0])
        if not longest / 2 <= span <= longest * _SLACK:
            rule = f"a window must last between half and all of the training's, {longest:g}"
            raise invalid(rule, f"{span:g}", "Cut it, or train on families with another window.")
        if hint is not None and len(hint) != d:
            raise invalid(f"a hint must have {d} equations, one per state", len(hint))
        names = [name for tree in hint or () for name in tree.parameters]
        if names and not any(tree.states for tree in hint or ()):
            remedy = "Other names stand for numbers that are not known."
            raise invalid(f"a hint must name the states u1 ... u{d}", ", ".join(names[:6]), remedy)

    def _warn_if_unlike(self, rows: Sequence[int], windows: Windows, tokens: Tokens) -> None:
        """Tell of windows that the network does not reproduce as it does those of its training."""
        errors = _reproduced(self.state["net"], windows, tokens)[: len(rows)]
        limit = max(_UNUSUAL * self.state["usual"], _LEAST_UNUSUAL)
        strange = [k for k, error in zip(rows, errors.tolist(), strict=True) if error > limit]
        if strange:
            names = ", ".join(self.state["names"])
            told = f"{who()}: {len(strange)} windows (number {strange[0]} first) are unlike those "
            told += f"of the training ({names}): their own points are missed by more than {limit:.0%}"
            tell(OutsideWarning, f"{told}. Do not trust what is said of them.")


def checked_families(problem: Any) -> EquationFamilies:
    """The families of a fit.

    Raises:
        InvalidInputError: If they are something else.
    """
    if not isinstance(problem, EquationFamilies):
        remedy = "For example, use problems.EquationFamilies(systems=('lorenz', 'thomas'))."
        raise invalid("problem must be families of equations", type(problem).__name__, remedy)
    return problem


def _filled(rows: Sequence[int]) -> list[int]:
    """A block of 64 rows, filled up with its first one."""
    return [*rows, *[rows[0]] * (BLOCK - len(rows))]


def _reproduced(net: SymbolicOperatorNet, windows: Windows, tokens: Tokens) -> Tensor:
    """Relative errors ``(B,)`` of the windows' own points."""
    here = windows.about[:, None, 1:] * windows.present[..., None]
    miss = (net.at(windows.points[..., 0], tokens) - windows.points[..., 1:]) * here
    size = (windows.points[..., 1:] * here).square().flatten(1).sum(1).clamp_min(1e-12)
    return (miss.square().flatten(1).sum(1) / size).sqrt()


def _read(vocabulary: EquationTokens, codes: Sequence[int], d: int) -> Ends | None:
    """A written system; None for what is none of d equations in d states."""
    try:
        found = vocabulary.decode(codes)
    except InvalidEquationError:
        return None
    whole_system = len(found) == d and all(max(tree.states, default=0) <= d for tree in found)
    return found if whole_system else None


def _integrated(one: Refined, window: Tensor, at: Tensor) -> Tensor:
    """The refined equation's states at times, times first; NaN where it blows up."""
    order = at.argsort()
    times = torch.cat([window[:1, 0], at[order]])
    step = float(window[-1, 0] - window[0, 0]) / _STEPS
    found = torch.empty(len(at), window.shape[1] - 1, dtype=torch.float64)
    found[order] = integrated(one.system, one.start, times, step=step)[1:]
    return torch.cat([at[:, None], found], 1)


def _within(first: float, latest: float) -> str:
    return f"The model was trained up to {latest - first:g} after the first time."
