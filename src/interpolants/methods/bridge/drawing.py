"""Arguments that the verbs of a bridge have in common, each declared once."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from torch import Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.kinds import Whole


@dataclass(frozen=True, kw_only=True)
class Guided(Checked):
    """What rows are asked with: their condition, how strongly it guides, and their place."""

    cond: Tensor | None = None
    """One condition for all rows (a label, a vector), or one per row."""
    guidance: Any = None
    """Strength w of classifier-free guidance, ``f_u + w (f_c - f_u)`` between the fields without and with the
    condition: a number, a function of t, one per row, or ``{"times": [...], "values": [...]}``. None or 1 is the
    condition alone; it needs ``drop_condition > 0`` in training. Or a table such as ``{"kind": "apg", "strength": 3}``
    of a rule: ``"linear"``, ``"negative"`` (with ``against``, a condition), ``"apg"`` (``eta``, ``radius``,
    ``momentum``), ``"zero_star"``, ``"cfg_plus_plus"`` (for ``method="ddim"``) or ``"autoguided"`` (with ``weak``, a
    bridge or its folder); see ``guidance.guide``."""
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    """Times between which there is guidance."""
    first_index: Whole = 0
    """Index of the first row in a larger job, so that parts agree with the whole."""

    @classmethod
    def among(cls, options: Mapping[str, Any]) -> tuple[Self, dict[str, Any]]:
        """These arguments from among the options of a verb, and the others."""
        own = {field.name for field in fields(cls)}
        given = {name: value for name, value in options.items() if name in own}
        return cls(**given), {name: value for name, value in options.items() if name not in own}


@dataclass(frozen=True, kw_only=True)
class Drawing(Guided):
    """How states are carried from one end of a bridge to the other."""

    eps: Any = 0.0
    """Noise level; 0 runs the ODE. A number, a function of t, a ``dynamics.NoiseLevel``, or ``"auto"``: the level that
    ``Bridge.choose_eps`` finds best on data that training has not seen."""
    reverse: bool = False
    """From rho1 to rho0."""
    seed: Whole | None = None
    """Seed of starts and noise; drawn afresh when None."""
    on: Any = None
    """Path to sample on, as in ``Bridge.on``; None for that of the training."""
