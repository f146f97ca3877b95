"""Random motion of an interface, learnt from a few runs of a large model, to drive a small one thousands of times.

Letters: R runs, m degrees of freedom of the interface, r modes, Q quantities.
"""

from dataclasses import field
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from interpolants.foundations.checks import number
from interpolants.foundations.errors import invalid
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.roles import Role
from interpolants.framework.stages import Run
from interpolants.methods.parts.generators import from_noise, vector_generator

INTERFACE = Role(
    name="interface", exact=True, about="Motion of the interface in runs of the whole model (R, m)."
)


@runtime_checkable
class DrivenModel(Protocol):
    """A model of the part: `problems.ClampedPlate`, or a class of your own around `pde.Submodel`.

    Attributes:
        names: Of the quantities.
    """

    names: tuple[str, ...]

    def quantities(self, interface: Tensor) -> Tensor:
        """Quantities of interest ``(R, Q)`` for motions of the interface ``(R, m)``, float64."""
        ...


class SubmodelGenerator(Method):
    """Draw motions of an interface like those of a few runs, and what a part of the model makes of them.

    Motions are reduced to their principal components (proper orthogonal decomposition) up to a share of the variance;
    any generator learns the law of their coefficients. ``sample`` draws motions, ``predict`` drives the part with
    motions. Zero components, such as fixed ends, stay zero.

    Args:
        generator: Method for vectors that can ``sample``, its id, or a table with its settings:
            ``"wasserstein_gan"``, ``"gaussian_fit"``, ...; a bridge from noise if none is given.
        variance: Share of the variance that the components hold, in (0, 1].

    Raises:
        InvalidInputError: If a setting is out of range, when fitted also if there are fewer runs than components.

    Source: Boukraichi, Akkari, Casenave & Ryckelynck (2021), arXiv:2110.13680, with a Wasserstein GAN.
    """

    only_cpu: ClassVar[str] = "parts are solved on the CPU"
    noun: ClassVar[str] = "generator"

    generator: Any = field(default_factory=from_noise)
    variance: float = 0.9999

    def check_settings(self) -> None:
        """Refuse a share, and build the generator."""
        who = "SubmodelGenerator"
        number(who, "variance", self.variance, above=0, at_most=1)
        self.generator = vector_generator(who, self.generator)

    def roles(self) -> tuple[Role, ...]:
        """Motions, and the part they drive."""
        about = "The part: it has quantities(interface)."
        return INTERFACE, Role(name="problem", kind="problem", axis="", about=about)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Components, and the law of their coefficients."""
        who, motion, problem = "SubmodelGenerator.fit", data["interface"].flatten(1), data["problem"]
        if not isinstance(problem, DrivenModel):
            raise invalid(who, "problem must have quantities(interface)", type(problem).__name__)
        if len(motion) < 3:
            raise invalid(who, "there must be three runs or more", len(motion))
        mean = motion.mean(0)
        _, sizes, ways = torch.linalg.svd(motion - mean, full_matrices=False)
        share = sizes.square().cumsum(0) / sizes.square().sum().clamp_min(1e-300)
        count = int((share < self.variance).sum()) + 1
        if float(sizes[0]) == 0 or count >= len(motion) - 1:
            rule = "there must be more runs than components that hold the variance"
            raise invalid(
                who, rule, f"{len(motion)} runs, {count} components", "Run the whole model more often."
            )
        modes = ways[:count]
        law = run.fit("generator", self.generator, x1=(motion - mean) @ modes.T)
        return {
            "problem": problem,
            "mean": mean,
            "modes": modes,
            "law": law,
            "left": 1 - float(share[count - 1]),
        }

    def columns(self, name: str) -> tuple[str, ...]:
        """Those of quantities are the part's."""
        if name == "quantities" and self.is_fitted:
            found: tuple[str, ...] = tuple(self.state["problem"].names)
            return found
        return super().columns(name)

    @property
    def components(self) -> int:
        """Number of components."""
        return len(self.fitted_state("components")["modes"])

    @capability(like="interface")
    def sample(self, n: int, *, seed: int = 0) -> Tensor:
        """Motions ``(n, m)``."""
        state = self.state
        drawn = torch.as_tensor(state["law"].sample(n, seed=seed)).double()
        motion: Tensor = state["mean"] + drawn @ state["modes"]
        return motion.reshape(n, *self.shapes["interface"])

    @capability(reads={"x": "interface"}, like="quantities")
    def predict(self, x: Tensor) -> Tensor:
        """Quantities of the part ``(R, Q)`` for motions of its interface.

        Args:
            x: Motions ``(R, m)``.
        """
        found: Tensor = self.state["problem"].quantities(x.double().flatten(1))
        return found
