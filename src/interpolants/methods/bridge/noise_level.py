"""The choice of a bridge's noise level by rows that training has not seen."""

from typing import TYPE_CHECKING, Any

from torch import Tensor

from interpolants.couplings.independent import Independent
from interpolants.couplings.paired import Paired
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import generator
from interpolants.likelihood.held_out_errors import held_out_errors
from interpolants.likelihood.kl_bound import SquaredErrors
from interpolants.methods.bridge.auto_eps import EpsChoice, auto_eps
from interpolants.methods.bridge.held_out import Ends
from interpolants.methods.parts.choices import check_options
from interpolants.methods.parts.start_points import draw_base
from interpolants.training.pairs import draw_pairs

if TYPE_CHECKING:
    from interpolants.methods.bridge.bridge import Bridge


# Rows that the estimate of the errors needs.
FEWEST = 200


def choose_level(bridge: "Bridge", rows: Ends | None, options: dict[str, Any]) -> EpsChoice:
    """The level that held-out rows prefer; see ``Bridge.choose_eps``.

    Args:
        bridge: A fitted bridge.
        rows: Held-out rows in the network's units.
        options: Further arguments of ``auto_eps``.

    Raises:
        InvalidInputError: If there are no rows, or an option is unknown.
    """
    check_options("Bridge.choose_eps", options, auto_eps)
    if rows is None:
        remedy = "Call choose_eps(x0, x1) with such data, or fit Bridge(held_out=0.1)."
        raise invalid("Bridge.choose_eps", "eps='auto' needs data that training has not seen", "none", remedy)
    if len(rows.x1) < FEWEST:
        rule = f"eps='auto' needs at least {FEWEST} rows that training has not seen"
        remedy = "Call choose_eps with more of your own, or print check(), which tries some levels on these."
        raise invalid("Bridge.choose_eps", rule, len(rows.x1), remedy)
    seed = options.get("seed", bridge.seed)
    paired = isinstance(bridge.coupling, Paired)
    known: dict[str, Any] = {"base": bridge.density0(), "paired": paired, "cond": rows.cond, "seed": seed}
    if rows.x0 is not None and not isinstance(bridge.coupling, Independent | Paired):
        known["errors"] = _errors_over_pairs(bridge, rows, seed)
    return auto_eps(bridge.fields, _starts(bridge, rows, seed), rows.x1, **{**known, **options})


def _starts(bridge: "Bridge", rows: Ends, seed: int) -> Tensor:
    base = bridge.state["path"].base
    if base is not None:
        return draw_base(base, bridge.field_shape, len(rows.x1), seed, 0)
    return rows.x1 if rows.x0 is None else rows.x0


def _errors_over_pairs(bridge: "Bridge", rows: Ends, seed: int) -> SquaredErrors:
    """The fields are means over pairs as the coupling makes them: so are their errors."""
    assert rows.x0 is not None
    source = generator(seed, "held-out pairs")
    known: dict[str, Any] = {"cond": rows.cond, "cond0": rows.cond0, "who": "Bridge.choose_eps"}
    size = bridge.batch_size
    x0, x1, cond = draw_pairs(rows.x0, rows.x1, len(rows.x1), bridge.coupling, size, source, **known)
    return held_out_errors(bridge.fields, x0, x1, paired=True, cond=cond, generator=source)
