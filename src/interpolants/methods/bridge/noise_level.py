"""The choice of a bridge's noise level by rows that training has not seen."""

from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from interpolants.couplings.independent import Independent
from interpolants.couplings.paired import Paired
from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import generator
from interpolants.likelihood.held_out_errors import held_out_errors
from interpolants.methods.bridge.auto_eps import EpsChoice, auto_eps
from interpolants.methods.bridge.few_rows_eps import LEAST, few_rows_eps
from interpolants.methods.bridge.fitted import FittedBridge
from interpolants.methods.bridge.held_out import Ends
from interpolants.methods.parts.choices import check_options
from interpolants.methods.parts.start_points import draw_base
from interpolants.training.pairs import draw_pairs

# Rows that the estimate of the errors needs, and moved points per level where there are fewer.
FEWEST, DRAWS = 200, 400


# What eps="auto" chose, by the network that it was chosen for: asking a fitted bridge does not change it.
_OWN: WeakKeyDictionary[nn.Module, EpsChoice] = WeakKeyDictionary()


def own_choice(bridge: FittedBridge) -> EpsChoice:
    """The level that a bridge takes by itself, by the rows that it held out; worked out once in a process."""
    net = bridge.state["net"]
    if net not in _OWN:
        _OWN[net] = choose_level(bridge, bridge.held_out_rows, {})
    return _OWN[net]


def known_choice(net: nn.Module) -> EpsChoice | None:
    """What :func:`own_choice` found for the network of a bridge; None before it."""
    return _OWN.get(net)


def choose_level(bridge: FittedBridge, rows: Ends | None, options: dict[str, Any]) -> EpsChoice:
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
    seed = options.get("seed", bridge.seed)
    if len(rows.x1) < FEWEST:
        return _by_few_rows(bridge, rows, seed, options)
    paired = isinstance(bridge.pairing, Paired)
    known: dict[str, Any] = {"base": bridge.density0(), "paired": paired, "cond": rows.cond, "seed": seed}
    if rows.x0 is not None and not isinstance(bridge.pairing, Independent | Paired):
        # The fields are means over pairs as the coupling makes them: so are their errors.
        source, size = generator(seed, "held-out pairs"), bridge.batch_size
        apart: dict[str, Any] = {"cond": rows.cond, "cond0": rows.cond0, "who": "Bridge.choose_eps"}
        x0, x1, cond = draw_pairs(rows.x0, rows.x1, len(rows.x1), bridge.pairing, size, source, **apart)
        known["errors"] = held_out_errors(bridge.fields, x0, x1, paired=True, cond=cond, generator=source)
    return auto_eps(bridge.fields, _starts(bridge, rows, len(rows.x1), seed), rows.x1, **{**known, **options})


def _by_few_rows(bridge: FittedBridge, rows: Ends, seed: int, options: dict[str, Any]) -> EpsChoice:
    """A level that few rows agree on; see :mod:`few_rows_eps`."""
    most = whole("Bridge.choose_eps", "n", options.get("n", DRAWS), at_least=LEAST)
    asked = [name for name in options if name not in ("n", "n_steps", "seed", "criterion")]
    asked += ["criterion"] if options.get("criterion", "auto") not in ("auto", "samples") else []
    if asked:
        rule = f"{asked[0]} needs at least {FEWEST} rows that training has not seen"
        remedy = "Leave it out: levels are then chosen by cross-validation; or pass more rows of your own."
        raise invalid("Bridge.choose_eps", rule, len(rows.x1), remedy)
    known = {name: options[name] for name in ("n_steps",) if name in options}
    starts = _starts(bridge, rows, most, seed)
    paired = isinstance(bridge.pairing, Paired) or starts is rows.x1
    if min(len(starts), len(rows.x1)) < LEAST:
        rule = f"eps='auto' needs at least {LEAST} rows of each end that training has not seen"
        remedy = "Call choose_eps with rows of your own, or choose eps yourself."
        raise invalid("Bridge.choose_eps", rule, min(len(starts), len(rows.x1)), remedy)
    return few_rows_eps(
        bridge.fields, starts, rows.x1, paired=paired, cond=rows.cond, n=most, seed=seed, **known
    )


def _starts(bridge: FittedBridge, rows: Ends, n: int, seed: int) -> Tensor:
    """Held-out starts, or ``n`` draws of the base."""
    base = bridge.state["path"].base
    if base is not None:
        return draw_base(base, bridge.field_shape, n, seed, 0)
    found: Tensor = rows.x1 if rows.x0 is None else rows.x0
    return found
