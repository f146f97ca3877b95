"""The training loop.

Step k of a run is a function of (state, seed, k), the state being weights, optimizer state, that of the aggregate
and the best weights so far. Batches and noise come from generators seeded by (seed, stream, k, rank), the learning
rate and the moving average's rate from k. So a checkpoint needs no generator and no data cursor, and a resumed run
repeats the undisturbed one to the bit. Nothing that is stored tells a time or a date, but for the log ``times``.

What is bit-exact: stop, kill and resume, with the same number of processes and threads, machine and version
of PyTorch, in fp32 and bf16, on a CPU always and on an accelerator under deterministic algorithms. Another
number of processes adds in another order and draws other noise: the same statistics, not the same bits.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from interpolants.foundations.errors import invalid
from interpolants.foundations.folder_lock import locked
from interpolants.training.aggregates import Aggregate
from interpolants.training.checkpoint import Checkpoint
from interpolants.training.interrupt import Interrupt
from interpolants.training.logging import Row
from interpolants.training.losses import Batches, Loss, sum_of_means
from interpolants.training.modes import kept_random_state, training_mode
from interpolants.training.optimizers import GroupOf, trainable
from interpolants.training.progress import Estimate, ProgressBar
from interpolants.training.results import Callback, Ending, FitResult, Moment, TrainingInterrupted
from interpolants.training.run_folder import RunFolder
from interpolants.training.run_state import RunState
from interpolants.training.settings import TrainSettings
from interpolants.training.sharding import sharded
from interpolants.training.slices import as_whole, is_cut
from interpolants.training.step import READ_EVERY, Done, Stepper
from interpolants.training.world import World

__all__ = ["FitResult", "Moment", "fit", "sum_of_means"]

Validate = Callable[[Any, int], Mapping[str, float]]


def fit(
    modules: nn.Module,
    loss: Loss,
    batches: Batches,
    settings: TrainSettings | None = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    about: Mapping[str, Any] | None = None,
    validate: Validate | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    aggregate: Aggregate = sum_of_means,
    group_of: GroupOf | None = None,
    after: Checkpoint | None = None,
    keep_end: bool = False,
) -> FitResult:
    """Minimise ``E aggregate(loss(modules, batch))`` over the parameters of ``modules``, in place.

    Under ``torchrun`` the same call trains on all processes: each calculates its losses and their aggregate on its
    share of the batch, gradients are averaged, the first process writes. ``out`` must then be visible to all. For
    means over samples this is the gradient of the whole batch. A loss of the whole batch that is no mean, such as an
    MMD, is then the mean of its values on the shares; and an aggregate that is not linear in the losses must average
    what its weights depend on (`StepContext.average`).

    Args:
        modules: Networks to train, on one device; several may share an ``nn.ModuleDict``.
        loss: ``loss(modules, batch, generator)`` -> name -> losses, ``(B,)`` with one per sample, or ``()`` for one
            of the batch. The generator lives on the modules' device and is seeded for this step. With a parameter
            ``step`` it is told the step, 1, 2, ...; not the number of steps, by which a run may be extended.
        batches: ``batches(step, generator, rank, world)`` -> this process's share of the batch of step
            1, 2, ...; must depend on nothing else. The generator lives on the CPU. A draw that all
            processes must share is to be seeded from the step by ``batches`` itself.
        settings: The settings; `TrainSettings()` if not given.
        out: Folder for checkpoints and logs; nothing is written without it. Must not hold another run.
        resume: Go on from the newest whole checkpoint in ``out``, or start if there is none.
        about: What is learnt, by name, as JSON takes it: kept with checkpoints. Weights do not tell for which path or
            base they are, so a run that resumes must be about the same.
        validate: ``validate(modules, step)`` -> numbers to log, called without gradients, in evaluation
            mode and with averaged weights if there are any. ``settings.keep_best`` chooses by one of them, and has
            it called before the first step too.
        callbacks: Called after every step with a `Moment`, on all processes; one that stops the run must do
            so on all.
        progress: Whether to show a progress bar, on the first process.
        aggregate: ``aggregate(losses)`` -> the scalar to minimise. With a parameter ``context`` it sees the step as a
            `StepContext`: batch, parameters, gradients of single losses. One with ``state_dict`` and
            ``load_state_dict`` is stored with each checkpoint, one with ``numbers()`` is logged; an attribute ``about``
            with its settings is part of what a resumed run must share.
        group_of: ``group_of(name, parameter)`` -> key of ``settings.groups``, or None for the rest; by name if left
            out.
        after: Train longer from here: ``end`` of another run's result. ``settings.steps`` counts its steps too.
        keep_end: Keep in the result what is needed to train longer: weights, averages, state of the optimizer.

    Returns:
        The result. ``modules`` holds the last weights, not the average; with ``keep_best`` the best weights, as they
        were validated.

    Raises:
        InvalidInputError: If an argument, a loss or the checkpoint does not fit, or another process works in ``out``.
        DivergedError: If something was not finite. The weights are those before that step.
        StorageError: If the disk refuses; the last checkpoint is still whole.
        TrainingInterrupted: After Ctrl-C or SIGTERM, when the step is finished and the checkpoint written; a
            ``KeyboardInterrupt`` that holds the result.
    """
    settings = settings or TrainSettings()
    if resume and out is None:
        raise invalid("fit", "out must be passed with resume=True", out)
    if settings.keep_best and validate is None:
        raise invalid("fit", "keep_best needs validate, which returns the number", settings.keep_best)
    with ExitStack() as stack:
        world = stack.enter_context(World(next(iter(trainable(modules).values())).device))
        stays_cut = any(map(is_cut, modules.parameters()))
        if stays_cut and keep_end:
            remedy = "Continue with resume=True, from the checkpoint in out."
            raise invalid("fit", "keep_end needs whole weights", "weights that cut_weights has cut", remedy)
        cut = stack.enter_context(sharded(modules, settings, world))
        rules: dict[str, Any] = {"aggregate": aggregate, "group_of": group_of, "about": about or {}}
        run = RunState(modules, settings, **rules, world=world, cut=cut)
        run.check_shares()
        stack.enter_context(kept_random_state(run.device))
        stack.enter_context(training_mode(modules, compiled=settings.compile))
        if out and run.world.leads:
            stack.enter_context(locked("fit", out))
        folder = RunFolder(Path(out) if out else None, run)
        folder.open(resume=resume)
        if after is not None and run.step < after.step:
            run.restore(after, Path("the earlier run"))
        interrupt = stack.enter_context(Interrupt())
        bar = ProgressBar(run.step, settings.steps, shown=progress and run.world.leads)
        stack.callback(bar.close)
        loop = _Loop(
            run, Stepper(run, loss, batches), folder, validate, callbacks, interrupt, bar, stays_cut=stays_cut
        )
        result = loop.go(keep_end=keep_end)
    if result.stopped == "interrupted":
        raise TrainingInterrupted(result)
    return result


class _Loop:
    """The steps of one call of `fit`, and what is done between them."""

    def __init__(
        self,
        run: RunState,
        stepper: Stepper,
        folder: RunFolder,
        validate: Validate | None,
        callbacks: Sequence[Callback],
        interrupt: Interrupt,
        bar: ProgressBar,
        *,
        stays_cut: bool,
    ) -> None:
        self.run, self.stepper, self.folder, self.settings = run, stepper, folder, run.settings
        self.validate, self.callbacks, self.interrupt, self.bar = validate, callbacks, interrupt, bar
        self.seconds = folder.seconds
        self.gathered: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] = dict if stays_cut else as_whole

    def go(self, *, keep_end: bool = False) -> FitResult:
        """Step until the run ends, for one reason or another."""
        begun, saved = time.perf_counter(), self.run.step
        stopped: Ending | None = self._given_up()
        clock = Estimate(self.run.parameters.values(), self.run.step, self.settings.steps, self.bar)
        if self.run.best is not None and self.run.step == 0:
            self._validate()  # the initial weights are a candidate too
        while stopped is None and self.run.step < self.settings.steps:
            done = self.stepper.advance(self.interrupt.received is not None)
            last = self.run.step >= self.settings.steps
            stop = done.stop if self.run.world.size > 1 else self.interrupt.received is not None
            self.seconds = self.folder.seconds + time.perf_counter() - begun
            self.bar.advance()
            clock.advance()
            stopped, saves = self._between(done, last=last, stop=stop)
            if saves:
                self._save()
                saved = self.run.step
        if saved != self.run.step:
            self.stepper.check(self.folder.checkpoint)
            self._save()
        end = self.run.checkpoint(pieces=False).copied() if keep_end else None
        return replace(self._result(stopped or "finished"), end=end)

    def _between(self, done: Done, *, last: bool, stop: bool) -> tuple[Ending | None, bool]:
        """Do the work due after a step except the checkpoint; return why the run ends, and whether to save."""
        settings, step = self.settings, self.run.step
        logs = _due(step, settings.log_every) or last
        saves = _due(step, settings.checkpoint_every) or last or stop
        validates = self.validate is not None and (_due(step, settings.validate_every) or last)
        if not self.run.guard.deferred or logs or saves or validates or _due(step, READ_EVERY):
            self.stepper.check(self.folder.checkpoint)
        if logs:
            self._log(done)
        validation = self._validate() if validates else None
        called_off = False
        if self.callbacks:
            losses = {name: values.detach() for name, values in done.losses.items()}
            moment = Moment(step, self.run.modules, losses, done.lr, validation)
            # All are called: one that stops the run must not hide the step from the others.
            answers = [callback(moment) for callback in self.callbacks]
            called_off = any(answers)
        if last:
            return None, saves
        if stop:
            return "interrupted", saves
        return self._given_up() or ("callback" if called_off else None), saves

    def _given_up(self) -> Literal["patience"] | None:
        return "patience" if self.run.best and self.run.best.gives_up else None

    def _save(self) -> None:
        self.stepper.check_weights(self.folder.checkpoint)
        self.folder.note_time(self.seconds)
        self.folder.save()

    def _log(self, done: Done) -> None:
        means = {name: values.detach().mean().item() for name, values in done.losses.items()}
        row: Row = {"step": self.run.step, "lr": done.lr, "loss": done.total.item()}
        clash = means.keys() & {"step", "lr", "loss", "grad_norm", "skipped"}
        row |= {f"loss_{name}" if name in clash else name: mean for name, mean in means.items()}
        row |= {name: value for name, value in self.run.aggregation.numbers().items() if name not in row}
        row |= {"grad_norm": done.norm.item(), "skipped": self.run.guard.skipped}
        self.folder.log.add(row)
        self.folder.note_time(self.seconds)
        self.bar.show(row)

    def _validate(self) -> dict[str, float]:
        assert self.validate is not None
        run, was = self.run, self.run.modules.training
        run.modules.eval()
        with torch.no_grad(), ExitStack() as stack:
            if run.ema:
                stack.enter_context(run.ema.applied())
            numbers = self.validate(run.modules, run.step)
            if run.best:
                value = run.world.agree_value(run.best.value(numbers))
                run.best.look(run.step, value, run.copy_of_model)
        run.modules.train(was)
        row = {name: float(value) for name, value in numbers.items()}
        self.folder.validation.add({"step": run.step} | row)
        return row

    def _result(self, stopped: Ending) -> FitResult:
        run = self.run
        best_seen = run.best.best if run.best else None
        best = best_seen if stopped != "interrupted" else None
        last: dict[str, Tensor] | None = None
        if best:
            last = run.copy_of_model()
            run.set_model(best.weights)
        return FitResult(
            steps=run.step,
            history=self.folder.log.rows,
            validation=self.folder.validation.rows,
            seconds=self.seconds,
            ema=self.gathered(run.ema.average) if run.ema else None,
            stopped=stopped,
            skipped=run.guard.skipped,
            checkpoint=self.folder.checkpoint,
            signal=self.interrupt.received,
            best=replace(best_seen, weights=self.gathered(best_seen.weights)) if best_seen else None,
            weights="best" if best else "last",
            last=None if last is None else self.gathered(last),
        )


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0
