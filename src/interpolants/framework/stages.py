"""The run of a fit: named stages that are called, not declared, each with its own checkpoints.

``learn(data, run)`` of a method is plain Python. What it does between stages follows from data and seed alone; what
takes time goes through the run, which gives back what a finished stage left, goes on with a half-finished one, or
begins it::

    codes = run.loop("autoencoder", start, step, steps=500)
    inner = run.fit("bridge", self.bridge, x1=codes)

A run with a folder writes checkpoints there; one that is killed at any moment and run again with ``resume=True`` ends
with the same bits. The state of a loop is everything: what is not in it does not exist after a resume. It holds no
times and no dates.
"""

import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Generator, Tensor, nn

from interpolants.foundations import trees
from interpolants.foundations.devices import default_device, draws_on_cpu
from interpolants.foundations.errors import InterpolantsError, invalid
from interpolants.foundations.folder_lock import locked
from interpolants.foundations.links import refuse_links
from interpolants.foundations.randomness import generator, key, seed_torch
from interpolants.foundations.storage import write_text
from interpolants.foundations.trees import Tree
from interpolants.framework.code_probes import changed_code
from interpolants.training.checkpoint import Checkpoint
from interpolants.training.engine import FitResult
from interpolants.training.engine import fit as train
from interpolants.training.interrupt import Interrupt
from interpolants.training.progress import ProgressBar, tell
from interpolants.training.results import TrainingInterrupted
from interpolants.training.settings import TrainSettings
from interpolants.training.world import leads

Start = Callable[[Generator], Tree]
Step = Callable[[Tree, int, Generator], Tree]
# Called as watch(stage, k, steps) after every step; what it raises stops the fit.
Watch = Callable[[str, int, int], None]
Rows = list[dict[str, Any]]

_KEPT = 2
_MOST_ROWS = 20_000  # of a stage in the history of a method
PLAN = "plan.json"  # in the folder of a stage
IDENTITY = "identity"  # in the folder of a fit: hashes of its settings and data


class InterruptedFitError(InterpolantsError, KeyboardInterrupt):
    """A signal stopped a fit, after a checkpoint if there is a folder for them.

    Attributes:
        signal: Number of the signal; a shell expects the exit code 128 + signal.
    """

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal


class Fittable(Protocol):
    """A method as a stage sees it."""

    seed: int

    def clone(self) -> Any:
        """Return an unfitted copy."""
        ...


@dataclass(frozen=True)
class Ended:
    """A training that has ended, and can be gone on with.

    Attributes:
        checkpoint: Weights, averages and state of the optimizer.
        history: Its logged rows.
        validation: The rows of its validations.
    """

    checkpoint: Checkpoint
    history: tuple[dict[str, Any], ...]
    validation: tuple[dict[str, Any], ...] = ()

    def settings(self, asked: TrainSettings) -> TrainSettings:
        """Return the settings with the requested number of additional steps."""
        then = self.checkpoint.state["settings"]
        so_far = {"steps": then["steps"], "restarts": tuple(then["restarts"])}
        return replace(asked, **so_far).longer(asked.steps)


@dataclass
class Run:
    """Context of a fit: its seed, its folder, its log so far.

    Attributes:
        seed: All randomness follows from it, the stage's name and the step.
        out: Folder of checkpoints; nothing is written without it.
        resume: Continue from the existing checkpoints.
        progress: Show progress bars.
        watch: Called at every step.
        held: Held-out values by role, in canonical form; empty if there are none.
        densities: Arguments with a ``log_prob``, by role, as passed.
        options: Further arguments of :func:`interpolants.training.fit` for every gradient stage, such as ``callbacks``.
        history: Logged rows by stage, without times.
        validation: Of each gradient stage that was validated: its rows, the best of them, and how the training ended.
        before: Trainings by stage that this fit continues; empty for a new fit.
        ended: Trainings by stage that a later fit can continue; None to keep none.
        few: Function of the number of steps, called before a training; it warns if rows are few and none held out.
    """

    seed: int
    out: Path | None = None
    resume: bool = False
    progress: bool = False
    watch: Watch | None = None
    held: Mapping[str, Any] = field(default_factory=dict)
    densities: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    history: dict[str, Rows] = field(default_factory=dict)
    validation: dict[str, Tree] = field(default_factory=dict)
    before: Mapping[str, "Ended"] = field(default_factory=dict)
    ended: "dict[str, Ended] | None" = None
    few: Callable[[int], None] = lambda steps: None

    def __post_init__(self) -> None:
        if self.resume and self.out is None:
            raise invalid("fit", "out must be passed with resume=True", "None")
        self._names: set[str] = set()

    def open(self, parts: Mapping[str, Tree], code: Mapping[str, Tensor] | None = None) -> None:
        """Claim the folder for what ``parts`` identify, or see that it holds this very run.

        Args:
            parts: What identifies the run, by name.
            code: Outputs of user-defined code at probe points, by its position.

        Raises:
            InvalidInputError: If the folder holds another run, or one that was not to be resumed.
        """
        if self.out is None:  # nothing is hashed for a fit that keeps nothing
            return
        refuse_links("fit", self.out)
        identity = {name: trees.fingerprint(part) for name, part in parts.items()}
        place = self.out / IDENTITY
        if trees.is_tree(place):
            before = trees.read(place)
            self._check_same(identity, before)
            _check_code(code or {}, before.get("code", {}))
        kept: dict[str, Any] = {**identity, "code": dict(code or {})}
        trees.write(place, kept)

    def locked(self, who: str) -> AbstractContextManager[None]:
        """The folder, kept from other processes; nothing without one, and nothing in processes that follow a first."""
        return nullcontext() if self.out is None or not leads() else locked(who, self.out)

    def _check_same(self, identity: Mapping[str, str], before: Mapping[str, str]) -> None:
        if not self.resume:
            remedy = "Pass resume=True to continue, or choose another folder."
            raise invalid("fit", "out must not hold another run", str(self.out), remedy)
        changed = [name for name in identity if identity[name] != before.get(name)]
        if changed:
            remedy = "Pass the same data and settings, or choose another folder."
            raise invalid(
                "fit", "resume=True must continue the same run", f"another {', '.join(changed)}", remedy
            )

    def generator(self, stage: str, k: int = 0) -> Generator:
        """Randomness of one step of one stage."""
        return generator(self.seed, "stage", stage, k)

    def can_go_on(self) -> "dict[str, Ended]":
        """The training that another fit can go on with: there is one if it was the only stage."""
        return dict(self.ended or {}) if len(self._names) == 1 else {}

    # --- kinds of stages

    def loop(
        self,
        stage: str,
        start: Start,
        step: Step,
        steps: int,
        *,
        every: int = 100,
        until: Callable[[Tree], bool] | None = None,
        log: Callable[[Tree], Mapping[str, float]] | None = None,
        log_every: int = 10,
    ) -> Tree:
        """``state = step(state, k, generator of k)`` for k = 1 .. steps; return the last state.

        Args:
            stage: Name of the stage, its own within the fit.
            start: Makes the first state, a tree as :mod:`interpolants.foundations.trees` takes it.
            step: Makes the next state.
            steps: Maximum number of steps.
            every: Steps between checkpoints; results do not depend on it.
            until: Stops the loop where it holds.
            log: Numbers to log of a state.
            log_every: Steps between logged rows.
        """
        loop = _Loop(self._claim(stage, steps), *self._latest(stage))
        state = loop.state if loop.k else start(self.generator(stage))
        done = until is not None and loop.k > 0 and until(state)
        with Interrupt() as interrupt, self._bar(stage, loop.k, steps) as bar:
            for k in range(loop.k + 1, steps + 1) if not done else ():
                state = step(state, k, self.generator(stage, k))
                last = k == steps or (until is not None and until(state))
                if log is not None and (last or k % log_every == 0):
                    loop.rows.append({"step": k, **log(state)})
                if last or interrupt.received is not None or k % every == 0:
                    loop.keep(k, state)
                bar.advance()
                self._tell(stage, k, steps)
                _stop_if(interrupt, stage, k)  # after the last step too: what follows must not begin
                if last:
                    break
        self.history[stage] = loop.rows
        return state

    def live(
        self,
        stage: str,
        parts: Mapping[str, Any],
        step: Callable[[int, Generator], Mapping[str, float]],
        steps: int,
        *,
        every: int = 100,
        log_every: int = 10,
    ) -> None:
        """A loop over objects that change in place and have a ``state_dict``: networks, optimizers, schedules.

        Two players, or any optimizer, need nothing else: ``step(k, generator)`` moves them and gives numbers to log.
        PyTorch's own generator (dropout and its like) is seeded for each step and put back afterwards.
        """
        live = _Live(parts)

        def go(state: Tree, k: int, source: Generator) -> Tree:
            live.restore(state)  # after a resume only
            with torch.random.fork_rng([]):
                seed_torch(int(torch.randint(2**31, (), generator=source)))
                live.numbers = step(k, source)
            return live

        last = self.loop(
            stage, lambda source: live, go, steps, every=every, log=lambda s: s.numbers, log_every=log_every
        )
        live.restore(last)  # a stage that was finished before

    def once(self, stage: str, make: Callable[[Generator], Tree]) -> Tree:
        """Run a long computation without steps once, and store its result."""
        return self.loop(stage, lambda source: None, lambda state, k, source: make(source), 1)

    def train(
        self,
        stage: str,
        modules: nn.Module,
        loss: Any,
        batches: Any,
        settings: TrainSettings,
        **options: Any,
    ) -> FitResult:
        """The library's gradient loop as a stage; ``modules`` end as they do there.

        Args:
            stage: Name of the stage.
            modules: As in :func:`interpolants.training.fit`, like what follows.
            loss: The loss.
            batches: The batches.
            settings: The settings of the loop; their seed is mixed with the stage's name.
            options: Further arguments of :func:`interpolants.training.fit`.

        Raises:
            InterruptedFitError: If a signal stopped the training.
        """
        before = self.before.get(stage)
        if before is not None:
            settings = before.settings(settings)
        folder = self._claim(stage, settings.steps)
        mixed = replace(settings, seed=key(settings.seed, "stage training", stage) >> 23)
        given = {**self.options, **options}
        if not (self.held or self.options.get("validate") or settings.keep_best or settings.patience):
            self.few(settings.steps)
        calls: Sequence[Any] = [
            *given.pop("callbacks", ()),
            lambda m: self._tell(stage, m.step, settings.steps),
        ]
        if draws_on_cpu():  # a user-defined network may be elsewhere
            modules.to(default_device())
        try:
            result = train(
                modules,
                loss,
                batches,
                mixed,
                out=folder,
                resume=folder is not None,
                callbacks=calls,
                progress=self.progress,
                after=None if before is None else before.checkpoint,
                keep_end=self.ended is not None,
                **given,
            )
        except TrainingInterrupted as stopped:
            told = _stopped(stage, stopped.result.steps)
            raise InterruptedFitError(told, stopped.result.signal or 2) from stopped
        earlier = () if before is None else before.history
        first = result.history[0]["step"] if result.history else math.inf
        self.history[stage] = [*(row for row in earlier if row["step"] < first), *result.history]
        if result.validation:
            rows = [*(() if before is None else before.validation), *result.validation]
            result = replace(result, validation=rows)
            self.validation[stage] = _validation(result, mixed)
            tell(stage, best_weights(self.validation[stage]), shown=self.progress)
        if self.ended is not None and result.end is not None:
            self.ended[stage] = Ended(result.end, tuple(self.history[stage]), tuple(result.validation))
        return replace(result, history=self.history[stage], end=None)

    def fit(
        self, stage: str, template: Any, /, *, heldout: Mapping[str, Any] | None = None, **roles: Any
    ) -> Any:
        """Fit a clone of a method with a separate seed, as a stage.

        Args:
            stage: Name of the stage.
            template: The method.
            heldout: Held-out rows by role, as in ``Method.fit``.
            roles: Values by role.
        """
        folder = self._claim(stage)
        seed = key(self.seed, "stage method", stage, template.seed) >> 32
        watch = None if self.watch is None else self._inner_watch(stage)
        # Inside of a fit on a device its parts are fitted there too.
        where = {"device": str(default_device())} if draws_on_cpu() else {}
        inner = template.clone().set_params(seed=seed, **where)
        fitted = inner.fit_roles(
            roles, held=heldout, out=folder, resume=folder is not None, progress=self.progress, watch=watch
        )
        return fitted.forget_training()

    def _inner_watch(self, stage: str) -> Watch:
        return lambda inner, k, steps: self._tell(f"{stage}/{inner}", k, steps)

    # --- checkpoints and progress

    def _claim(self, stage: str, steps: int | None = None) -> Path | None:
        """Folder of a stage; the planned number of steps is written there for monitors."""
        if stage in self._names:
            raise invalid("learn", "every stage must have a different name", repr(stage))
        self._names.add(stage)
        self._check_longer(stage, steps)
        if self.out is None:
            return None
        if steps is not None:
            (self.out / stage).mkdir(parents=True, exist_ok=True)
            write_text(self.out / stage / PLAN, json.dumps({"steps": steps}))
        return self.out / stage

    def _check_longer(self, stage: str, steps: int | None) -> None:
        """Raise an error for more steps of a stage that later stages depend on: a longer fit would differ."""
        plan = None if self.out is None else self.out / stage / PLAN
        if self.out is None or steps is None or plan is None or not plan.is_file():
            return
        if steps <= int(json.loads(plan.read_text("utf-8"))["steps"]):
            return
        mine = {IDENTITY, *(name.partition("/")[0] for name in self._names)}
        if later := sorted(
            entry.name for entry in self.out.iterdir() if entry.is_dir() and entry.name not in mine
        ):
            rule = f"more steps may be made of the last stage alone, and {later[0]!r} follows {stage!r}"
            raise invalid("fit", rule, steps, "Fit the method again with more steps, in another folder.")

    def _latest(self, stage: str) -> tuple[int, Tree, Rows]:
        folders = [] if self.out is None else sorted((self.out / stage).glob("step-*"))
        if not folders:
            return 0, None, []
        kept = trees.read(folders[-1])
        return kept["k"], kept["state"], kept["rows"]

    def _tell(self, stage: str, k: int, steps: int) -> None:
        if self.watch is not None:
            self.watch(stage, k, steps)

    @contextmanager
    def _bar(self, stage: str, first: int, steps: int) -> Iterator[ProgressBar]:
        bar = ProgressBar(first, steps, shown=self.progress and steps > 1)
        try:
            yield bar
        finally:
            bar.close()


@dataclass
class _Loop:
    """Checkpoints of one loop."""

    folder: Path | None
    k: int
    state: Tree
    rows: Rows

    def keep(self, k: int, state: Tree) -> None:
        if self.folder is None:
            return
        plain = state.tree() if isinstance(state, _Live) else state
        trees.write(self.folder / f"step-{k:08d}", {"k": k, "state": plain, "rows": self.rows})
        for old in sorted(self.folder.glob("step-*"))[:-_KEPT]:
            shutil.rmtree(old)


class _Live:
    """Objects that become a tree when a checkpoint is written, and only then."""

    def __init__(self, parts: Mapping[str, Any]) -> None:
        self.parts = parts
        self.numbers: Mapping[str, float] = {}

    def tree(self) -> Tree:
        return {name: _as_tree(part.state_dict()) for name, part in self.parts.items()}

    def restore(self, state: Tree) -> None:
        """Take up the tree of a checkpoint; nothing where the objects are already further."""
        if state is not self:
            for name, part in self.parts.items():
                part.load_state_dict(_as_torch(state[name]))


def _validation(result: FitResult, settings: TrainSettings) -> Tree:
    """Summary of a validated training, as plain values."""
    best = result.best
    told = {"rows": [*map(dict, result.validation)], "steps": result.steps, "planned": settings.steps}
    told |= {"stopped": result.stopped, "by": settings.keep_best}
    return {**told, "best": None if best is None else {"step": best.step, "value": best.value}}


def best_weights(validation: Mapping[str, Any]) -> str:
    """Description of the weights that a validated training kept; empty if it kept the last ones without validation."""
    best = validation["best"]
    if best is None:
        return ""
    step, steps, planned = best["step"], validation["steps"], validation["planned"]
    early = f", stopped at {steps:,}" if validation["stopped"] == "patience" else ""
    words = str(validation["by"]).replace("held_out", "held-out").replace("_", " ")
    which = "last weights" if step == planned else f"weights of step {step:,} of {planned:,}"
    return f"{which}, best by {words}{early}"


def thinned(history: Mapping[str, Rows]) -> dict[str, Rows]:
    """A history in which no stage has more rows than a file should hold: evenly spaced ones, the last among them."""
    strides = {stage: -(-len(rows) // _MOST_ROWS) for stage, rows in history.items()}
    return {
        stage: rows if strides[stage] < 2 else rows[:: -strides[stage]][::-1]
        for stage, rows in history.items()
    }


def _as_tree(value: Any) -> Tree:
    """A ``state_dict``, whose names may be numbers, as a tree."""
    if isinstance(value, Mapping):
        return {"names": [*value], "values": [_as_tree(part) for part in value.values()]}
    return [_as_tree(part) for part in value] if isinstance(value, list) else value


def _as_torch(tree: Tree) -> Any:
    if isinstance(tree, Mapping) and tree.keys() == {"names", "values"}:
        return dict(zip(tree["names"], map(_as_torch, tree["values"]), strict=True))
    return [_as_torch(part) for part in tree] if isinstance(tree, list) else tree


def _check_code(now: Mapping[str, Tensor], before: Mapping[str, Any]) -> None:
    """Raise an error if user-defined code returns other values than before the interruption.

    Raises:
        InvalidInputError: If it does.
    """
    if changed := changed_code(now, before):
        remedy = "Pass the code of the first fit, or choose another folder."
        rule = "resume=True must continue with the same code"
        raise invalid("fit", rule, f"{', '.join(changed)} with other answers at probe points", remedy)


def _stop_if(interrupt: Interrupt, stage: str, k: int) -> None:
    if interrupt.received is not None:
        raise InterruptedFitError(_stopped(stage, k), interrupt.received)


def _stopped(stage: str, k: int) -> str:
    return f"The fit was stopped in stage {stage!r} after step {k}; fit again with out= and resume=True to continue"
