"""State of a training run: what a step changes, and what a checkpoint therefore holds."""

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from interpolants.foundations.errors import invalid
from interpolants.training.aggregates import Aggregate, Aggregation, StepContext
from interpolants.training.best import BestWeights
from interpolants.training.checkpoint import Checkpoint
from interpolants.training.ema import Ema
from interpolants.training.guard import Guard
from interpolants.training.optimizers import GroupOf, Optimizer, trainable
from interpolants.training.settings import FREE, TrainSettings
from interpolants.training.slices import Slice, is_cut, like, local, mesh_of, own_slice, put, whole
from interpolants.training.world import World


class RunState:
    """State of a run: everything that a step reads and changes.

    Args:
        modules: What is trained.
        settings: The settings.
        aggregate: See `fit`.
        group_of: See `fit`.
        about: See `fit`.
        world: The processes that train together.
        cut: Whether `sharded` has cut the modules.
    """

    def __init__(
        self,
        modules: nn.Module,
        settings: TrainSettings,
        *,
        aggregate: Aggregate,
        group_of: GroupOf | None,
        about: Mapping[str, Any],
        world: World,
        cut: bool = False,
    ) -> None:
        self.modules, self.settings, self.about = modules, settings, _as_stored(about)
        self.step = 0
        self.parameters = trainable(modules)
        self.trained = list(self.parameters.values())
        self.device = self.trained[0].device
        self.buffers = list(modules.buffers())
        self.world, self.cut = world, cut
        self.averaged = [p for p in self.trained if not is_cut(p)]
        self.optimizer = Optimizer(self.parameters, settings, group_of)
        self.ema = Ema(modules, settings.ema) if settings.ema is not None else None
        self.aggregation = Aggregation(aggregate, self.context)
        # A state outside the device's queue can only be put back by who has read the flag.
        unread = self.optimizer.takes_flag and not self.aggregation.keeps_state and not cut
        if cut and self.aggregation.wants_context:
            rule, remedy = "an aggregate that asks for gradients needs whole weights", "Raise shard_above."
            raise invalid("fit", rule, f"more than {settings.shard_above} parameters", remedy)
        sticky = settings.on_nonfinite == "raise"
        self.guard = Guard(self.device, sticky=sticky, deferred=None if unread else False)
        self.best = BestWeights(settings.keep_best, settings.patience) if settings.keep_best else None

    @property
    def share(self) -> int:
        """Rows of a process in the batch of a step."""
        return self.settings.batch_size // self.world.size

    def context(self, step: int, batch: Any) -> StepContext:
        """Context of a step for the aggregate."""
        return StepContext(step, batch, self.modules, self.parameters, self.settings.seed, self.world)

    def model_tensors(self) -> dict[str, Tensor]:
        """Parameters and stored buffers; a shared tensor appears under its first name only."""
        kept = self.modules.state_dict().keys()
        named = [*self.modules.named_parameters(), *self.modules.named_buffers()]
        return {name: value.detach() for name, value in named if name in kept}

    def copy_of_model(self) -> dict[str, Tensor]:
        """`model_tensors`, as they are now."""
        return {name: value.clone() for name, value in self.model_tensors().items()}

    def set_model(self, tensors: Mapping[str, Tensor]) -> None:
        """Put stored parameters and buffers in place."""
        with torch.no_grad():
            for name, value in self.model_tensors().items():
                put(value, tensors[name])

    def share_out(self) -> None:
        """Give all processes the weights of the first."""
        average = self.ema.average.values() if self.ema else ()
        every = [*self.modules.parameters(), *self.modules.buffers(), *average]
        self.world.share(x for x in every if not is_cut(x))

    # --- checkpoints -------------------------------------------------------------------------------------

    def checkpoint(self, *, pieces: bool = True) -> Checkpoint:
        """A checkpoint of this moment.

        Args:
            pieces: Whether tensors that are cut are stored as this process's slices; otherwise whole.
        """
        state = self.aggregation.state()
        tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
        best = self.best.best if self.best else None
        parts = {
            "model": self.model_tensors(),
            "ema": self.ema.average if self.ema else {},
            "optimizer": self.optimizer.tensors(),
            "best": best.weights if best else {},
        }
        cut = {part: [name for name, x in own.items() if is_cut(x)] for part, own in parts.items()}
        held = {
            part: {n: (local if pieces else whole)(x) for n, x in own.items()} for part, own in parts.items()
        }
        return Checkpoint(
            step=self.step,
            model=held["model"],
            ema=held["ema"] if self.ema else None,
            optimizer=held["optimizer"],
            state={
                "skipped": self.guard.skipped,
                "world": self.world.size,
                "torch": str(torch.__version__),
                "settings": self.settings.as_json(),
                "about": self.about,
                **self._identity(),
                "aggregate_state": {key: value for key, value in state.items() if key not in tensors},
                "best": self.best.state() if self.best else {},
                **({"pieces": self.pieces, "cut": cut} if self.cut and pieces else {}),
            },
            aggregate=tensors,
            best=held["best"],
        )

    @cached_property
    def pieces(self) -> int:
        """Number of slices into which weights are cut; 1 for whole ones."""
        meshes = (mesh_of(p) for p in self.trained if is_cut(p))
        return next((int(mesh.size(dim)) for mesh, dim in meshes), 1)

    def slice_of(self, part: str, name: str) -> Slice | None:
        """Rows that this process holds of a tensor of a checkpoint; None for all of it."""
        parameter = self.parameters.get(name.rpartition("::")[0] if part == "optimizer" else name)
        return None if parameter is None else own_slice(parameter)

    def restore(self, stored: Checkpoint, path: Path) -> None:
        """Restore the state of a checkpoint.

        Raises:
            InvalidInputError: If it is of another run.
        """
        self._check_same_run(stored)
        self._check_processes(stored)
        _check_tensors(path, "model", self.model_tensors(), stored.model)
        if self.ema:
            _check_tensors(path, "ema", self.ema.average, stored.ema or {})
            self.ema.load(stored.ema or {})
        self.set_model(stored.model)
        self.optimizer.load(stored.optimizer)
        self.guard.restore(int(stored.state["skipped"]))
        tensors = {key: value.to(self.device) for key, value in stored.aggregate.items()}
        if self.aggregation.keeps_state:
            self.aggregation.restore({**stored.state.get("aggregate_state", {}), **tensors})
        if self.best:
            model = self.model_tensors()
            weights = {key: like(model[key], value) for key, value in stored.best.items()}
            self.best.restore(stored.state.get("best", {}), weights)
            if self.settings.steps > stored.state["settings"]["steps"]:
                self.best.go_on()
        self.step = stored.step

    def _identity(self) -> dict[str, Any]:
        """Values that a resumed run must share with this one, in addition to its settings and its data."""
        return _as_stored({"aggregate": self.aggregation.identity, "groups": self.optimizer.groups})

    def _check_same_run(self, stored: Checkpoint) -> None:
        # An older run did not say all of it: nothing to hold against it.
        known = dict(stored.state.get("about", {}))
        identity = self._identity()
        now = {**self.settings.as_json(), **identity, **self.about}
        then = {
            **TrainSettings().as_json(),
            **stored.state.get("settings", {}),
            **{name: stored.state.get(name, value) for name, value in identity.items()},
            **self.about,
            **known,
        }
        self.about = {**known, **self.about}
        ends = (*then["restarts"], then["steps"])
        longer = {"steps", "restarts"} if self.settings.legs[: len(ends)] == ends else set()
        free = self._free() | longer
        changed = [name for name in now if name not in free and now[name] != then.get(name)]
        if changed:
            shown = ", ".join(f"{name} {then.get(name)!r} -> {now[name]!r}" for name in changed)
            remedy = "To continue with other settings, load the weights and start a new run."
            raise invalid("fit", "resume=True must keep the settings of the run", shown, remedy)

    def _check_processes(self, stored: Checkpoint) -> None:
        """The rows of a step follow from the number of processes: another number would train on others."""
        then, now = stored.state.get("world", self.world.size), self.world.size
        if then != now and self.settings.shares == "own" and stored.step < self.settings.steps:
            rule = "resume=True must keep the number of processes, from which the rows of each step follow"
            remedy = f"Start {then} processes, or load the weights and start a new run with shares='whole'."
            raise invalid("fit", rule, f"{then} -> {now}", remedy)

    def check_shares(self) -> None:
        """Check that a batch can be split evenly between the processes."""
        size, world = self.settings.batch_size, self.world.size * self.settings.accumulate
        if size % world:
            remedy = f"Use {size // world * world or world} or {(size // world + 1) * world}."
            times = " times accumulate" if self.settings.accumulate > 1 else ""
            rule = f"batch_size must be a multiple of the number of processes{times}, {world}"
            raise invalid("fit", rule, size, remedy)

    def _free(self) -> set[str]:
        decides = {"steps", "restarts"} if self.settings.schedule == "cosine" else set()
        return FREE - decides - ({"validate_every"} if self.settings.keep_best else set())


def _as_stored(value: Mapping[str, Any]) -> dict[str, Any]:
    """Tuples to lists, as they come back from a file."""
    found: dict[str, Any] = json.loads(json.dumps(dict(value)))
    return found


def _check_tensors(path: Path, what: str, own: Mapping[str, Tensor], stored: Mapping[str, Tensor]) -> None:
    wrong = [
        name
        for name in sorted(own.keys() | stored.keys())
        if name not in own or name not in stored or tuple(own[name].shape) != tuple(stored[name].shape)
    ]
    if wrong:
        shown = f"{wrong[0]!r} ({len(wrong)} differ)"
        raise invalid("fit", f"{path}: {what} must have the tensors of these modules", shown)
