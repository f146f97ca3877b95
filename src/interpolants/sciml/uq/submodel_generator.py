"""Random motion of an interface, learnt from a few runs of a large model, to drive a small one thousands of times.

Letters: R runs, m degrees of freedom of the interface, r modes, Q quantities.
"""

from dataclasses import field
from typing import Annotated, Any, ClassVar, Protocol, runtime_checkable

import torch
from annotated_types import Ge, Interval
from torch import Tensor

from interpolants.foundations.asked import invalid
from interpolants.foundations.kinds import Check
from interpolants.framework.capabilities import capability, verb
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.methods.parts.generators import from_noise, vector_generator
from interpolants.sciml.uq.monte_carlo import estimates, relative_distance

verb("estimate")
INTERFACE = Role(
    name="interface", exact=True, about="Motion of the interface in runs of the whole model (R, m)."
)

REFERENCE = Role(name="reference", exact=True, about="Quantities of whole runs, not learnt from (R, Q).")


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
    motions, ``estimate`` gives expectations of its quantities with intervals. Columns that are the same in all runs,
    such as fixed ends and the first instant of histories from rest, are exactly so in draws.

    Raises:
        InvalidInputError: If a setting is out of range, when fitted also if there are fewer runs than components.

    Source: Boukraichi, Akkari, Casenave & Ryckelynck (2021), arXiv:2110.13680, with a Wasserstein GAN.
    """

    only_cpu: ClassVar[str] = "parts are solved on the CPU"
    noun: ClassVar[str] = "generator"

    generator: Annotated[Any, Check(vector_generator)] = field(default_factory=from_noise)
    """Method for vectors that can ``sample``, its id, or a table with its settings: ``"wasserstein_gan"``,
    ``"gaussian_fit"``, ...; a bridge from noise if none is given."""
    variance: Annotated[float, Interval(gt=0, le=1)] = 0.9999
    """Share of the variance that the components hold."""

    def roles(self) -> tuple[Role, ...]:
        """Motions, and the part they drive."""
        about = "The part: it has quantities(interface)."
        return INTERFACE, Role(name="problem", kind="problem", axis="", about=about)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Components, and the law of their coefficients."""
        motion, problem = data["interface"].flatten(1), data["problem"]
        if not isinstance(problem, DrivenModel):
            raise invalid("problem must have quantities(interface)", type(problem).__name__)
        if len(motion) < 3:
            raise invalid("interface must have at least three runs", len(motion))
        # Exactly: a history that begins at 1e-14 for 0 is no motion from rest.
        still = (motion == motion[0]).all(0)
        mean = torch.where(still, motion[0], motion.mean(0))
        _, sizes, ways = torch.linalg.svd(motion - mean, full_matrices=False)
        share = sizes.square().cumsum(0) / sizes.square().sum().clamp_min(1e-300)
        count = int((share < self.variance).sum()) + 1
        if float(sizes[0]) == 0 or count >= len(motion) - 1:
            rule = "the number of runs must exceed the number of components that explain the variance"
            raise invalid(rule, f"{len(motion)} runs, {count} components", "Add runs of the full model.")
        modes = torch.where(still, 0.0, ways[:count])
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
    def sample(self, n: int, *, seed: int = 0) -> Any:
        """Motions ``(n, m)``."""
        return self._motions(n, seed).reshape(n, *self.shapes["interface"])

    def _motions(self, n: int, seed: int) -> Tensor:
        state = self.state
        drawn = torch.as_tensor(state["law"].sample(n, seed=seed)).double()
        motion: Tensor = state["mean"] + drawn @ state["modes"]
        return motion

    @capability(reads={"x": "interface"}, like="quantities")
    def predict(self, x: Tensor) -> Tensor:
        """Quantities of the part ``(R, Q)`` for motions of its interface.

        Args:
            x: Motions ``(R, m)``.
        """
        found: Tensor = self.state["problem"].quantities(x.double().flatten(1))
        return found

    @capability(reads={"reference": REFERENCE})
    def estimate(
        self,
        reference: Tensor | None = None,
        *,
        draws: Annotated[int, Ge(4)] = 5000,
        levels: Any = (0.05, 0.5, 0.95),
        above: Any = (),
        confidence: float = 0.95,
        seed: int = 0,
    ) -> dict[str, Tensor]:
        """Monte Carlo estimates of the quantities by name, ``(Q,)`` each, in the order of the part's ``names``.

        ``mean`` and ``variance`` with their standard errors (``mean_error``), quantiles (``quantile_0.95``) and
        probabilities to be above thresholds (``exceedance``) with intervals (``*_low``, ``*_high``). They are errors of
        the draws; those of the learnt law come in addition: ``bias`` bounds the error of the mean of any function of
        slope 1 of a quantity, by the distance W1 to reference runs, whose own luck is in its ``bias_error``.

        Args:
            reference: Quantities of whole runs that nothing was learnt from, ``(R, Q)``; for ``bias``.
            draws: Number of motions.
            levels: Probability of a quantile, or several, in (0, 1).
            above: Threshold of each quantity, ``(Q,)``; none if empty.
            confidence: Probability that an interval holds the true value, in (0, 1).
            seed: Seed of the draws.
        """
        values = self.state["problem"].quantities(self._motions(draws, seed))
        found = estimates(values, levels=_listed(levels), above=_listed(above), confidence=confidence)
        if reference is not None:
            if reference.shape[1:] != values.shape[1:]:
                rule = f"reference must have {values.shape[1]} columns, one for each quantity"
                raise invalid(rule, tuple(reference.shape))
            unit = reference.double().std(0)
            apart = [relative_distance(x, y) for x, y in zip(values.T, reference.double().T, strict=True)]
            found["bias"] = unit * torch.tensor([one.value for one in apart]).double()
            found["bias_error"] = unit * torch.tensor([one.error for one in apart]).double()
        return found


def _listed(value: Any) -> tuple[float, ...]:
    """A number or several as a tuple."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)
