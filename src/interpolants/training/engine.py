"""The training loop.

Step k of a run is a function of (weights, optimizer state, seed, k): batches and noise come from generators
seeded by (seed, stream, k, rank), the learning rate and the moving average's rate from k. So a checkpoint
needs no generator and no data cursor, and a resumed run repeats the undisturbed one to the bit.

What is bit-exact: stop, kill and resume, with the same number of processes and threads, machine and version
of PyTorch, in fp32 and bf16, on a CPU always and on an accelerator under deterministic algorithms. Another
number of processes adds in another order and draws other noise: the same statistics, not the same bits.
"""

import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from interpolants.foundations.errors import DivergedError, invalid
from interpolants.training.checkpoint import Checkpoint, prepare
from interpolants.training.ema import Ema
from interpolants.training.guard import Guard, clip, explain, gradient_norm
from interpolants.training.interrupt import Interrupt
from interpolants.training.logging import Log, Row
from interpolants.training.optimizers import load_optimizer, make_optimizer, optimizer_tensors, trainable
from interpolants.training.progress import ProgressBar
from interpolants.training.schedules import learning_rate
from interpolants.training.seeds import BATCH, LOSS, MODULE, step_seed
from interpolants.training.settings import FREE, TrainSettings
from interpolants.training.world import World

Losses = Mapping[str, Tensor]
Loss = Callable[[Any, Any, torch.Generator], Losses]
Batches = Callable[[int, torch.Generator, int, int], Any]
Aggregate = Callable[[Losses], Tensor]

_READ_EVERY = 25


@dataclass(frozen=True)
class Moment:
    """What a callback sees after a step; return True from the callback to stop the run.

    Attributes:
        step: Completed steps.
        modules: What is trained.
        losses: Per-sample losses of this step, detached, ``(B,)`` each.
        lr: Learning rate of this step.
    """

    step: int
    modules: nn.Module
    losses: Losses
    lr: float


Callback = Callable[[Moment], bool | None]


@dataclass(frozen=True)
class FitResult:
    """How a run ended.

    Attributes:
        steps: Completed steps, those of the resumed run included.
        history: Logged rows: step, seconds, lr, loss, one column per loss, grad_norm, skipped.
        validation: Rows of the validations: step and whatever ``validate`` returned.
        seconds: Training time, resumed runs included.
        ema: Averaged parameters by name, or ``None``.
        stopped: ``"finished"``, ``"interrupted"`` (by a signal) or ``"callback"``.
        skipped: Steps skipped because something was not finite.
        checkpoint: The last checkpoint, if any was written or found.
        signal: The signal that interrupted, if any.
    """

    steps: int
    history: list[Row]
    validation: list[Row]
    seconds: float
    ema: dict[str, Tensor] | None
    stopped: Literal["finished", "interrupted", "callback"]
    skipped: int = 0
    checkpoint: Path | None = None
    signal: int | None = None


def sum_of_means(losses: Losses) -> Tensor:
    """The default aggregate: the batch mean of each loss, summed over the losses."""
    means = [values.mean() for values in losses.values()]
    return means[0] if len(means) == 1 else torch.stack(means).sum()


def fit(
    modules: nn.Module,
    loss: Loss,
    batches: Batches,
    settings: TrainSettings | None = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    about: Mapping[str, Any] | None = None,
    validate: Callable[[Any, int], Mapping[str, float]] | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    aggregate: Aggregate = sum_of_means,
) -> FitResult:
    """Minimise ``E aggregate(loss(modules, batch))`` over the parameters of ``modules``, in place.

    Under ``torchrun`` the same call trains on all processes: gradients are averaged, the first process
    writes. ``out`` must then be visible to all.

    Args:
        modules: Networks to train, on one device; several may share an ``nn.ModuleDict``.
        loss: ``loss(modules, batch, generator)`` -> name -> losses ``(B,)``, one per sample. The generator
            lives on the modules' device and is seeded for this step.
        batches: ``batches(step, generator, rank, world)`` -> this process's share of the batch of step
            1, 2, ...; must depend on nothing else. The generator lives on the CPU. A draw that all
            processes must share is to be seeded from the step by ``batches`` itself.
        settings: The settings; `TrainSettings()` if not given.
        out: Folder for checkpoints and logs; nothing is written without it. Must not hold another run.
        resume: Go on from the newest whole checkpoint in ``out``, or start if there is none.
        about: What is learnt, by name, as JSON takes it: kept with checkpoints. Weights do not tell for which path or
            base they are, so a run that resumes must be about the same.
        validate: ``validate(modules, step)`` -> numbers to log, called without gradients, in evaluation
            mode and with averaged weights if there are any.
        callbacks: Called after every step with a `Moment`, on all processes; one that stops the run must do
            so on all.
        progress: Whether to show a progress bar, on the first process.
        aggregate: Turns the losses into the scalar to minimise.

    Returns:
        The result. ``modules`` holds the last weights, not the average.

    Raises:
        InvalidInputError: If an argument, a loss or the checkpoint does not fit.
        DivergedError: If something was not finite. The weights are those before that step.
        StorageError: If the disk refuses; the last checkpoint is still whole.
    """
    if resume and out is None:
        raise invalid("fit", "out must be given with resume=True", out)
    run = _Run(modules, loss, batches, settings or TrainSettings(), Path(out) if out else None, aggregate)
    run.about = json.loads(json.dumps(dict(about or {})))  # tuples to lists, as they come back from a file
    with ExitStack() as stack:
        stack.enter_context(run.world)
        stack.enter_context(_kept_random_state(run.device))
        stack.enter_context(_training_mode(modules, compiled=run.settings.compile))
        run.open(resume)
        interrupt = stack.enter_context(Interrupt())
        bar = ProgressBar(run.step, run.settings.steps, shown=progress and run.world.leads)
        stack.callback(bar.close)
        return run.loop(interrupt, bar, validate, callbacks)


@dataclass
class _Run:
    """The state of one call of `fit`."""

    modules: nn.Module
    loss: Loss
    batches: Batches
    settings: TrainSettings
    out: Path | None
    aggregate: Aggregate
    about: dict[str, Any] = field(default_factory=dict)
    step: int = 0
    seconds: float = 0.0
    checkpoint: Path | None = None
    skipped_losses: Losses = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.parameters = trainable(self.modules)
        self.trained = list(self.parameters.values())
        self.device = self.trained[0].device
        self.buffers = list(self.modules.buffers())
        self.world = World(self.device)
        self.optimizer = make_optimizer(self.parameters, self.settings)
        self.ema = Ema(self.modules, self.settings.ema) if self.settings.ema is not None else None
        fused = bool(self.optimizer.defaults["fused"])
        sticky = self.settings.on_nonfinite == "raise"
        self.guard = Guard(self.device, sticky=sticky, deferred=None if fused else False)
        self.batch_generator = torch.Generator()
        self.loss_generator = torch.Generator(device=self.device)
        self.own_generator = _own_generator(self.device)
        self.log = self.validation_log = Log(None, "log")

    # --- opening and saving ------------------------------------------------------------------------------

    def open(self, resume: bool) -> None:
        """Give all processes one state: the checkpoint's, or the first process's."""
        folder = self.out if self.world.leads else None
        if self.out:
            found = self._find(resume) if self.world.leads else -1
            if found := self.world.agree(found):
                self._load(self._folder(found))
        self.world.share([*self.modules.parameters(), *self.modules.buffers()])
        if self.ema:
            self.world.share(self.ema.average.values())
        self.log = Log(folder, "log", after=self.step)
        self.validation_log = Log(folder, "validation", after=self.step)

    def _folder(self, step: int) -> Path:
        assert self.out is not None
        return self.out / "checkpoints" / f"step-{step:08d}"

    def _find(self, resume: bool) -> int:
        """Step of the checkpoint to go on from, 0 to start; moves damaged ones out of the way."""
        assert self.out is not None
        root = self.out / "checkpoints"
        if not resume:
            if root.is_dir() and any(root.glob("step-*")):
                remedy = "Pass resume=True to go on, or choose another folder."
                raise invalid("fit", "out must not hold another run", str(self.out), remedy)
            prepare(root)
            for stale in ("log.csv", "log.jsonl", "validation.csv", "validation.jsonl"):
                (self.out / stale).unlink(missing_ok=True)
            return 0
        prepare(root)
        latest, passed = Checkpoint.latest(root)
        if passed and latest is None:
            raise invalid("fit", "out must hold a whole checkpoint", " | ".join(passed.values()))
        for path, reason in passed.items():
            path.rename(root / f"damaged-{path.name}-{time.time_ns()}")
            warnings.warn(f"fit: passed over a damaged checkpoint: {reason}", stacklevel=4)
        return latest.step if latest else 0

    def _load(self, path: Path) -> None:
        stored = Checkpoint.load(path)
        self._check_same_run(stored)
        own = self._model_tensors()
        _check_tensors(path, "model", own, stored.model)
        if self.ema:
            _check_tensors(path, "ema", self.ema.average, stored.ema or {})
            self.ema.load(stored.ema or {})
        with torch.no_grad():
            for name, value in own.items():
                value.copy_(stored.model[name])
        load_optimizer(self.optimizer, self.parameters, stored.optimizer)
        self.step, self.checkpoint = stored.step, path
        self.seconds = float(stored.state["seconds"])
        self.guard.restore(int(stored.state["skipped"]))

    def _check_same_run(self, stored: Checkpoint) -> None:
        now, then = self.settings.model_dump(mode="json"), dict(stored.state.get("settings", {}))
        free = FREE - ({"steps"} if self.settings.schedule == "cosine" else set())
        known = dict(stored.state.get("about", {}))
        now |= self.about
        then |= {**self.about, **known}  # an older run did not say: nothing to hold against it
        self.about = {**known, **self.about}
        changed = [name for name in now if name not in free and now[name] != then.get(name)]
        if changed:
            shown = ", ".join(f"{name} {then.get(name)!r} -> {now[name]!r}" for name in changed)
            remedy = "To continue with other settings, load the weights and start a new run."
            raise invalid("fit", "resume=True must keep the settings of the run", shown, remedy)

    def _model_tensors(self) -> dict[str, Tensor]:
        """Parameters and stored buffers; a shared tensor appears under its first name only."""
        kept = self.modules.state_dict().keys()
        named = [*self.modules.named_parameters(), *self.modules.named_buffers()]
        return {name: value.detach() for name, value in named if name in kept}

    def save(self) -> None:
        """Write a checkpoint of this moment, from the first process; the others wait for it."""
        if not self.out:
            return
        if self.world.leads:
            state = {
                "seconds": self.seconds,
                "skipped": self.guard.skipped,
                "world": self.world.size,
                "torch": str(torch.__version__),
                "settings": self.settings.model_dump(mode="json"),
                "about": self.about,
            }
            self.checkpoint = Checkpoint(
                step=self.step,
                model=self._model_tensors(),
                ema=self.ema.average if self.ema else None,
                optimizer=optimizer_tensors(self.optimizer, self.parameters),
                state=state,
            ).save(self.out / "checkpoints", keep=self.settings.keep)
        self.world.barrier()

    # --- one step ----------------------------------------------------------------------------------------

    def losses(self, step: int, *, check: bool = False) -> tuple[Losses, Tensor]:
        """Per-sample losses and their aggregate at ``step``; a pure function of the weights and the step."""
        seed, rank = self.settings.seed, self.world.rank
        self.batch_generator.manual_seed(step_seed(seed, BATCH, step, rank))
        self.loss_generator.manual_seed(step_seed(seed, LOSS, step, rank))
        # Dropout and its like draw from PyTorch's own generator; `fit` puts its state back at the end.
        self.own_generator.manual_seed(step_seed(seed, MODULE, step, rank))
        batch = self.batches(step, self.batch_generator, rank, self.world.size)
        if self.settings.precision == "bf16":
            with torch.autocast(self.device.type, torch.bfloat16):
                losses = self.loss(self.modules, batch, self.loss_generator)
            if isinstance(losses, Mapping):
                losses = {name: values.float() for name, values in losses.items()}
        else:
            losses = self.loss(self.modules, batch, self.loss_generator)
        if check:  # at the first step only: shapes do not change later
            _check_losses(losses)
        total = self.aggregate(losses)
        if check and not (isinstance(total, Tensor) and total.ndim == 0):
            raise invalid("fit", "aggregate must return a scalar tensor", getattr(total, "shape", total))
        return losses, total

    def advance(self, first: bool, stop: bool) -> tuple[Losses, Tensor, Tensor, float, bool]:
        """Do one step: losses, total, gradient norm, learning rate, whether any process was asked to stop."""
        step = self.step + 1
        buffers = [b.clone() for b in self.buffers]
        versions = [b._version for b in self.buffers]
        losses, total = self.losses(step, check=first)
        total.backward()  # type: ignore[no-untyped-call]

        if self.world.size > 1:
            asked = torch.tensor(float(stop), device=self.device)
            extras = self.world.average(self.trained, [total, asked])
            total = extras[0]
            # Reading waits for an accelerator: there, ask only when the flag is read anyway.
            reads = not self.guard.deferred or step % _READ_EVERY == 0
            stop = bool(extras[1] > 0) if reads else False
        gradients = [p.grad for p in self.trained if p.grad is not None]
        if not gradients:
            raise invalid("fit", "the aggregate must depend on the parameters", "no gradient")
        norm = gradient_norm(gradients)

        good = self.guard.judge(step, total, norm)
        changed = [b for b, version in zip(self.buffers, versions, strict=True) if b._version != version]
        lr = learning_rate(self.settings, step)
        if isinstance(good, Tensor):
            self._apply(step, gradients, norm, lr, good)
            for now, before in zip(self.buffers, buffers, strict=True):
                now.copy_(torch.where(good > 0, now, before))
        elif good:
            self._apply(step, gradients, norm, lr, None)
        else:
            for now, before in zip(self.buffers, buffers, strict=True):
                now.copy_(before)
            self.skipped_losses = losses
        if self.world.size > 1:
            self.world.share(changed)
        if self.guard.deferred or good or not self.guard.must_stop:
            self.optimizer.zero_grad(set_to_none=True)
            self.step = step
        return losses, total, norm, lr, stop

    def _apply(
        self, step: int, gradients: Sequence[Tensor], norm: Tensor, lr: float, good: Tensor | None
    ) -> None:
        if self.settings.clip_norm is not None:
            clip(gradients, norm, self.settings.clip_norm, deferred=good is not None)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        if good is not None:
            self.optimizer.found_inf = 1 - good  # type: ignore[attr-defined]  # the fused kernel reads it
        self.optimizer.step()
        if self.ema:
            self.ema.update(step, good)

    def check(self) -> None:
        """Raise if a step must not count and the run cannot go on."""
        self.guard.read()
        if not self.guard.must_stop:
            return
        step = self.guard.first_bad
        if self.guard.deferred and self.settings.on_nonfinite == "raise":
            # The weights are still those before that step, so it can be done once more and looked at.
            buffers = [b.clone() for b in self.buffers]
            losses, total = self.losses(step)
            total.backward()  # type: ignore[no-untyped-call]
            for now, before in zip(self.buffers, buffers, strict=True):
                now.copy_(before)
        else:
            losses = self.skipped_losses
        if self.settings.on_nonfinite == "skip":
            what = f"100 steps in a row had to be skipped, up to step {self.step}"
        else:
            what = (
                f"step {step} must have finite losses and gradients, but {explain(losses, self.parameters)}"
            )
        kept = f"The last checkpoint is {self.checkpoint}" if self.checkpoint else "No checkpoint was written"
        raise DivergedError(
            f"fit: {what}. {kept}. Look at these rows of the data, lower lr, or set on_nonfinite='skip'"
        )

    # --- the loop ----------------------------------------------------------------------------------------

    def loop(
        self,
        interrupt: Interrupt,
        bar: ProgressBar,
        validate: Callable[[Any, int], Mapping[str, float]] | None,
        callbacks: Sequence[Callback],
    ) -> FitResult:
        settings = self.settings
        begun, before = time.perf_counter(), self.seconds
        stopped: Literal["finished", "interrupted", "callback"] = "finished"
        first, saved = True, self.step
        while self.step < settings.steps:
            losses, total, norm, lr, asked = self.advance(first, interrupt.received is not None)
            last, first = self.step >= settings.steps, False
            stop = asked if self.world.size > 1 else interrupt.received is not None
            logs = _due(self.step, settings.log_every) or last
            saves = _due(self.step, settings.checkpoint_every) or last or stop
            validates = validate is not None and (_due(self.step, settings.validate_every) or last)
            if not self.guard.deferred or logs or saves or validates or _due(self.step, _READ_EVERY):
                self.check()
            self.seconds = before + time.perf_counter() - begun
            bar.advance()
            if logs:
                row = self._row(losses, total, norm, lr)
                self.log.add(row)
                bar.show(row)
            if validates and validate is not None:
                self.validation_log.add(self._validate(validate))
            if callbacks:
                moment = Moment(self.step, self.modules, {k: v.detach() for k, v in losses.items()}, lr)
                # All are called: one that stops the run must not hide the step from the others.
                answers = [callback(moment) for callback in callbacks]
                if any(answers) and not last:
                    stopped = "callback"
            if saves:
                self.save()
                saved = self.step
            if stop and not last:
                stopped = "interrupted"
            if stopped != "finished":
                break
        if saved != self.step:
            self.check()
            self.save()
        return FitResult(
            steps=self.step,
            history=self.log.rows,
            validation=self.validation_log.rows,
            seconds=self.seconds,
            ema=dict(self.ema.average) if self.ema else None,
            stopped=stopped,
            skipped=self.guard.skipped,
            checkpoint=self.checkpoint,
            signal=interrupt.received,
        )

    def _row(self, losses: Losses, total: Tensor, norm: Tensor, lr: float) -> Row:
        means = {name: values.detach().mean().item() for name, values in losses.items()}
        row: Row = {"step": self.step, "seconds": round(self.seconds, 3), "lr": lr, "loss": total.item()}
        clash = means.keys() & {"step", "seconds", "lr", "loss", "grad_norm", "skipped"}
        row |= {f"loss_{name}" if name in clash else name: mean for name, mean in means.items()}
        return row | {"grad_norm": norm.item(), "skipped": self.guard.skipped}

    def _validate(self, validate: Callable[[Any, int], Mapping[str, float]]) -> Row:
        was = self.modules.training
        self.modules.eval()
        with torch.no_grad(), ExitStack() as stack:
            if self.ema:
                stack.enter_context(self.ema.applied())
            numbers = validate(self.modules, self.step)
        self.modules.train(was)
        return {"step": self.step} | {name: float(value) for name, value in numbers.items()}


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _check_losses(losses: Losses) -> None:
    if not isinstance(losses, Mapping) or not losses:
        raise invalid("fit", "loss must return a dict of named losses", type(losses).__name__)
    for name, values in losses.items():
        if not isinstance(values, Tensor) or values.ndim != 1 or not values.is_floating_point():
            shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            remedy = "Return one number per sample, not their mean."
            raise invalid("fit", f"loss {name!r} must be real with shape (B,)", shape, remedy)


def _check_tensors(path: Path, what: str, own: Mapping[str, Tensor], stored: Mapping[str, Tensor]) -> None:
    wrong = [
        name
        for name in sorted(own.keys() | stored.keys())
        if name not in own or name not in stored or own[name].shape != stored[name].shape
    ]
    if wrong:
        shown = f"{wrong[0]!r} ({len(wrong)} differ)"
        raise invalid("fit", f"{path}: {what} must have the tensors of these modules", shown)


def _own_generator(device: torch.device) -> torch.Generator:
    if device.type == "cuda":
        index = device.index if device.index is not None else torch.cuda.current_device()
        return torch.cuda.default_generators[index]
    return torch.default_generator


@contextmanager
def _kept_random_state(device: torch.device) -> Iterator[None]:
    """PyTorch's own generators are, after the block, as they were before."""
    generators = {_own_generator(device), torch.default_generator}
    kept = [(generator, generator.get_state()) for generator in generators]
    try:
        yield
    finally:
        for generator, state in kept:
            generator.set_state(state)


@contextmanager
def _training_mode(modules: nn.Module, *, compiled: bool) -> Iterator[None]:
    """Training mode, and compiled networks if asked; both undone afterwards, module by module."""
    modes = [(module, module.training) for module in modules.modules()]
    compilable: list[nn.Module] = []
    if compiled:
        # A container has no forward of its own: its networks are what is called.
        container = isinstance(modules, nn.ModuleDict | nn.ModuleList)
        compilable = list(modules.children()) if container else [modules]
    modules.train()
    for module in compilable:
        module.compile()
    try:
        yield
    finally:
        for module in compilable:
            module._compiled_call_impl = None
        for module, mode in modes:
            module.training = mode
