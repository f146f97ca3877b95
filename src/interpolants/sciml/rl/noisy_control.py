"""Control tasks of Gymnasium whose force is multiplied by random numbers."""

from collections.abc import Callable
from typing import Any

from interpolants.foundations.checks import number
from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require

# Environment -> the attribute that holds the size of its force.
FORCES = {
    "CartPole-v0": "force_mag",
    "CartPole-v1": "force_mag",
    "MountainCar-v0": "force",
    "MountainCarContinuous-v0": "power",
}


class NoisyControl:
    """A factory of environments: ``NoisyControl("CartPole-v1", noise=0.3)()`` is a fresh one.

    In every step the force is multiplied by ``1 + u``, ``u`` uniform in ``[-noise, noise]``: 1 on average. (The code
    published with the paper multiplies by ``1 + U(0.7, 1.3)``, 2 on average.) Random numbers are the environment's own,
    which ``reset(seed=...)`` seeds.

    Args:
        name: Name of a registered environment; with noise one whose force is known.
        noise: Largest relative change of the force, in [0, 1).

    Raises:
        InvalidInputError: If the noise is out of range, the name holds code to import (``module:name``), or the force
            of the environment is not known.

    Source: Kim et al. (2024), arXiv:2408.02295.
    """

    def __init__(self, name: str = "CartPole-v1", noise: float = 0.3) -> None:
        who = "NoisyControl"
        self.name, self.noise = name, number(who, "noise", noise, at_least=0, below=1)
        if not isinstance(name, str) or ":" in name:
            remedy = "Import it yourself, and pass a function that makes it to fit."
            raise invalid(who, "name must be that of a registered environment", repr(name), remedy)
        if self.noise and name not in FORCES:
            remedy = f"Use noise=0, or one of {', '.join(FORCES)}."
            raise invalid(
                who, "name must be an environment with a known force if noise > 0", repr(name), remedy
            )

    def __call__(self) -> Any:
        """A fresh environment."""
        world = require("gymnasium", by="NoisyControl").make(self.name)
        if self.noise:
            plain = world.unwrapped
            plain.step = _shaken(plain, FORCES[self.name], self.noise)
        return world

    def describe(self) -> dict[str, Any]:
        """The JSON-able arguments that make an equal one."""
        return {"kind": "noisy_control", "name": self.name, "noise": self.noise}


def _shaken(world: Any, attribute: str, noise: float) -> Callable[[Any], Any]:
    """The step of an environment with a force of random size."""
    step, size = world.step, getattr(world, attribute)

    def go(action: Any) -> Any:
        setattr(world, attribute, size * (1 + noise * world.np_random.uniform(-1, 1)))
        return step(action)

    return go
