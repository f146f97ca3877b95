"""One step of the training: losses, gradients, and their judgement, before anything is changed."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from interpolants.foundations.devices import draws_on_cpu
from interpolants.foundations.errors import DivergedError, invalid
from interpolants.training.aggregates import check_total
from interpolants.training.batch_parts import part_of
from interpolants.training.guard import clip, explain, gradient_norm
from interpolants.training.losses import Batches, Loss, Losses, check_losses, with_step
from interpolants.training.modes import own_generator
from interpolants.training.run_state import RunState
from interpolants.training.schedules import learning_rate
from interpolants.training.seeds import BATCH, LOSS, MODULE, step_seed
from interpolants.training.sharding import squares
from interpolants.training.slices import local

READ_EVERY = 25


class Done(NamedTuple):
    """Results of a step: losses, their aggregate, the gradient's norm, learning rate, whether to stop after it."""

    losses: Losses
    total: Tensor
    norm: Tensor
    lr: float
    stop: bool


class Stepper:
    """Makes the steps of a run.

    Args:
        run: The run.
        loss: See `fit`.
        batches: See `fit`.
    """

    def __init__(self, run: RunState, loss: Loss, batches: Batches) -> None:
        self._run, self._loss, self._batches = run, with_step(loss), batches
        self._batch_generator = torch.Generator()
        self._loss_generator = torch.Generator(device="cpu" if draws_on_cpu() else run.device)
        self._own_generator = own_generator(run.device)
        self._skipped_losses: Losses = {}
        self._first = True

    def advance(self, stop: bool) -> Done:
        """Compute one training step.

        Args:
            stop: Whether this process was asked to stop; the answer says whether any was.
        """
        run, step = self._run, self._run.step + 1
        buffers = [b.clone() for b in run.buffers]
        versions = [b._version for b in run.buffers]
        kept = run.aggregation.state() if run.aggregation.keeps_state else {}
        losses, total = self._backward(step, check=self._first)
        self._first = False
        if run.world.size > 1:
            total, stop = self._average(step, total, stop)
        gradients = [p.grad for p in run.trained if p.grad is not None]
        if not gradients:
            raise invalid("fit", "the aggregate must depend on the parameters", "no gradient")
        copies = run.world.size // run.pieces
        norm = squares(gradients, run.world, copies).sqrt() if run.cut else gradient_norm(gradients)

        good = run.guard.judge(step, total, norm)
        changed = [b for b, version in zip(run.buffers, versions, strict=True) if b._version != version]
        lr = learning_rate(run.settings, step)
        if good is not False:
            self._apply(
                step, [local(g) for g in gradients], norm, lr, good if isinstance(good, Tensor) else None
            )
        self._undo(good, buffers, kept, losses)
        if run.world.size > 1:
            run.world.share(changed)
        if run.guard.deferred or good or not run.guard.must_stop:
            run.optimizer.zero_grad()
            run.step = step
        return Done(losses, total, norm, lr, stop)

    def _undo(
        self, good: bool | Tensor, buffers: Sequence[Tensor], kept: Mapping[str, Any], losses: Losses
    ) -> None:
        """Put back what the losses of a step that does not count have changed."""
        if isinstance(good, Tensor):
            for now, before in zip(self._run.buffers, buffers, strict=True):
                now.copy_(torch.where(good > 0, now, before))
        elif not good:
            _put_back(self._run.buffers, buffers)
            self._run.aggregation.restore(kept)
            self._skipped_losses = losses

    def _backward(self, step: int, *, check: bool = False) -> tuple[Losses, Tensor]:
        """Losses and their aggregate at ``step``, and gradients; a pure function of the state and the step."""
        parts, rows = self._run.settings.accumulate, self._run.share
        batch, done = self._batch(step), []
        for number in range(parts):
            losses, total = self._losses(
                step, part_of(batch, number, parts, rows), check=check and not number
            )
            (total if parts == 1 else total / parts).backward()  # type: ignore[no-untyped-call]
            done.append((losses, total))
        return done[0] if parts == 1 else _joined(done)

    def _batch(self, step: int) -> Any:
        """Share of this process in the batch of ``step``; seeds all that is random in the step."""
        run, seed, rank, size = self._run, self._run.settings.seed, self._run.world.rank, self._run.world.size
        alike = run.settings.shares == "whole"
        self._batch_generator.manual_seed(step_seed(seed, BATCH, step, 0 if alike else rank))
        self._loss_generator.manual_seed(step_seed(seed, LOSS, step, rank))
        # Dropout and its like draw from PyTorch's own generator; `fit` puts its state back at the end.
        self._own_generator.manual_seed(step_seed(seed, MODULE, step, rank))
        if alike:
            return part_of(
                self._batches(step, self._batch_generator, 0, 1), rank, size, run.settings.batch_size
            )
        return self._batches(step, self._batch_generator, rank, size)

    def _losses(self, step: int, batch: Any, *, check: bool = False) -> tuple[Losses, Tensor]:
        """Losses and their aggregate of a batch."""
        run = self._run
        if run.settings.precision == "bf16":
            with torch.autocast(run.device.type, torch.bfloat16):
                losses = self._loss(run.modules, batch, self._loss_generator, step)
            if isinstance(losses, Mapping):
                losses = {name: values.float() for name, values in losses.items()}
        else:
            losses = self._loss(run.modules, batch, self._loss_generator, step)
        if check:  # at the first step only: shapes do not change later
            check_losses(losses)
        total = run.aggregation(losses, step, batch)
        if check:
            check_total(total)
        return losses, total

    def _average(self, step: int, total: Tensor, stop: bool) -> tuple[Tensor, bool]:
        """Average the gradients over the processes; the mean of the aggregates, and whether any shall stop."""
        run = self._run
        asked = torch.tensor(float(stop), device=run.device)
        extras = run.world.average(run.averaged, [total, asked])
        # Reading waits for an accelerator: there, ask only when the flag is read anyway.
        reads = not run.guard.deferred or step % READ_EVERY == 0
        return extras[0], bool(extras[1] > 0) if reads else False

    def _apply(
        self, step: int, gradients: Sequence[Tensor], norm: Tensor, lr: float, good: Tensor | None
    ) -> None:
        run = self._run
        if run.settings.clip_norm is not None:
            clip(gradients, norm, run.settings.clip_norm, deferred=good is not None)
        run.optimizer.step(lr, good)
        if run.ema:
            run.ema.update(step, good)

    def check(self, checkpoint: object) -> None:
        """Raise if a step must not count and the run cannot go on.

        Args:
            checkpoint: The last checkpoint, for the message.

        Raises:
            DivergedError: If so.
        """
        run = self._run
        run.guard.read()
        if not run.guard.must_stop:
            return
        kept = f"The last checkpoint is {checkpoint}" if checkpoint else "No checkpoint was written"
        remedy = "Look at these rows of the data, lower lr, or set on_nonfinite='skip'"
        raise DivergedError(f"fit: {self._what_happened()}. {kept}. {remedy}")

    def check_weights(self, checkpoint: object) -> None:
        """Raise if the last step has left weights that are not finite: no later loss will tell.

        Args:
            checkpoint: The last checkpoint, for the message.

        Raises:
            DivergedError: If so.
        """
        run = self._run
        wrong = [
            name for name, p in run.parameters.items() if not bool(torch.isfinite(local(p.detach())).all())
        ]
        if wrong:
            message = f"weights must be finite after step {run.step}, but {wrong[0]} are not"
            kept = f"The last checkpoint is {checkpoint}" if checkpoint else "No checkpoint was written"
            raise DivergedError(f"fit: {message}. {kept}. Lower lr, now {run.settings.lr:g}")

    def _what_happened(self) -> str:
        run = self._run
        if run.settings.on_nonfinite == "skip":
            return f"100 steps in a row had to be skipped, up to step {run.step}"
        step = run.guard.first_bad
        losses = self._once_more(step) if run.guard.deferred else self._skipped_losses
        return f"step {step} must have finite losses and gradients, but {explain(losses, run.parameters)}"

    def _once_more(self, step: int) -> Losses:
        """The losses of a bad step, and its gradients: the weights are still those before it."""
        buffers = [b.clone() for b in self._run.buffers]
        losses, _ = self._backward(step)
        _put_back(self._run.buffers, buffers)
        return losses


def _joined(parts: Sequence[tuple[Losses, Tensor]]) -> tuple[Losses, Tensor]:
    """Losses of the parts of a batch one after another, and the mean of their aggregates."""
    losses = {}
    for name in parts[0][0]:
        values = [found[name].detach() for found, _ in parts]
        losses[name] = torch.cat(values) if values[0].ndim else torch.stack(values).mean()
    return losses, torch.stack([total.detach() for _, total in parts]).mean()


def _put_back(buffers: Sequence[Tensor], before: Sequence[Tensor]) -> None:
    for now, then in zip(buffers, before, strict=True):
        now.copy_(then)
