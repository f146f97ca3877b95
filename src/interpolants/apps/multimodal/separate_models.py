"""One model for each modality: what linked modalities cost without sharing a network, at an equal budget."""

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.apps.multimodal.modality_roles import Modalities, answered, modality_roles, told
from interpolants.apps.multimodal.multimodal import MultimodalDiffusion
from interpolants.foundations.asked import invalid, who
from interpolants.foundations.kinds import Answer, Count
from interpolants.foundations.randomness import key
from interpolants.framework.capabilities import capability
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained


class SeparateModels(Trained):
    """For each modality a model of its own, told any of the others: together they draw one modality after the other.

    ``p(x, y) = p(x) p(y | x)``, in the order of the modalities. Each model is trained for ``steps`` steps; with
    networks of 1/n of the weights, n of them cost what one joint model costs.
    """

    only_cpu: ClassVar[str] = "rows stay where they were read"
    noun: ClassVar[str] = "set of models"

    modalities: Modalities = field(default_factory=lambda: {"image": "rows", "label": "labels"})
    """As in :class:`~interpolants.apps.multimodal.MultimodalDiffusion`."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of each model, such as ``net``."""
    n_steps: Answer[Annotated[int, Ge(2)]] = 40
    """Steps of the sampler."""
    steps = 3000
    batch_size = 128

    def check_settings(self) -> None:
        """Refuse a single modality, and settings that the models refuse."""
        if len(self.modalities) < 2:
            raise invalid("modalities must name at least two modalities", tuple(self.modalities))
        if "targets" in self.settings or "modalities" in self.settings:
            raise invalid("settings must contain neither modalities nor targets", dict(self.settings))
        self._template("")

    def _template(self, name: str) -> MultimodalDiffusion:
        targets = (name,) if name else ()
        own = {**self.training_params(), **self.settings}
        return MultimodalDiffusion(modalities=self.modalities, targets=targets, n_steps=self.n_steps, **own)

    def roles(self) -> tuple[Role, ...]:
        """A role for each modality."""
        return modality_roles(self.modalities)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """One model after the other."""
        return {"models": {name: run.fit(name, self._template(name), **data) for name in self.modalities}}

    @capability()
    def sample(
        self,
        /,
        n: Count,
        *,
        method: str = "midpoint",
        seed: int = 0,
        first_index: int = 0,
        **settings: Any,
    ) -> dict[str, Any]:
        """Draw one modality after the other.

        Args:
            n: Number of rows.
            method: An ODE solver.
            seed: Seed of the noise.
            first_index: Index of the first row in a larger job.
            settings: Settings of answers, for this call.
        """
        name, kind = next(iter(self.modalities.items()))
        gaps = torch.full((n, *self.shapes[name]), torch.nan, dtype=torch.float64)
        nothing = torch.full((n,), -1) if kind == "labels" else gaps
        return self._in_turn({name: nothing}, method, seed, first_index)

    @capability(takes=("n_steps",))
    def fill(
        self,
        /,
        *,
        method: str = "midpoint",
        seed: int = 0,
        first_index: int = 0,
        **roles: Any,
    ) -> dict[str, Any]:
        """Draw what is not given, one modality after the other.

        Args:
            method: An ODE solver.
            seed: Seed of the noise.
            first_index: Index of the first row in a larger job.
            roles: Modalities by name.
            settings: Settings of answers, for this call.
        """
        given = told(who(), roles, self.modalities)
        return self._in_turn(given, method, seed, first_index)

    @capability()
    def expect(self, /, *, seed: int = 0, first_index: int = 0, **roles: Any) -> dict[str, Any]:
        """The mean of each modality given what is known, by its own model.

        Args:
            seed: Seed of the states, which tell nothing.
            first_index: Index of the first row in a larger job.
            roles: Modalities by name.
        """
        given = told(who(), roles, self.modalities)
        models: Mapping[str, MultimodalDiffusion] = self.state["models"]
        found = {
            name: models[name].expect(seed=seed, first_index=first_index, **given)[name] for name in models
        }
        measured = {name: found[name] for name, kind in self.modalities.items() if kind == "rows"}
        return {**found, **answered(measured, self.given)}

    def _in_turn(self, given: Mapping[str, Tensor], method: str, seed: int, first: int) -> dict[str, Any]:
        found: dict[str, Any] = dict(given)
        for i, (name, model) in enumerate(self.state["models"].items()):
            own = key(seed, "model of one modality", i) >> 33
            drawn = model.fill(method=method, n_steps=self.n_steps, seed=own, first_index=first, **found)
            found[name] = torch.as_tensor(drawn[name])
        return answered({name: found[name] for name in self.modalities}, self.given)
