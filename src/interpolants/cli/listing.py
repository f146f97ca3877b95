"""Commands that tell what there is: methods, problems, and what is installed."""

from typing import Annotated, Any

import typer

from interpolants.cli import complete
from interpolants.cli.shared import Json, Quiet, screen_for
from interpolants.foundations.errors import invalid, nearest


def methods(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="All about this one.", autocompletion=complete.method_ids),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--kind", "-k", help="Only this kind, e.g. path.", autocompletion=complete.kinds),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """List the methods that the library has, or tell all about one, from their cards.

    \b
    Example:
    interpolants methods --kind path
    interpolants methods flow_map
    """
    from interpolants.foundations.cards import load_cards
    from interpolants.foundations.registry import kinds

    if kind is not None and kind not in kinds():
        raise invalid("methods", "--kind must be that of a member", repr(kind), nearest(kind, kinds()))
    cards = [card for card in load_cards() if kind in (None, card.kind)]
    ids = [card.id for card in cards]
    if name is not None and name not in ids:
        raise invalid("methods", "the method must be one of the library's", repr(name), nearest(name, ids))
    cards = [card for card in cards if name in (None, card.id)]
    screen = screen_for(quiet or as_json)
    if as_json:
        screen.json([_card(card) for card in cards])
    if name is not None:
        screen.table(
            cards[0].title, ("", ""), [(key, _told(value)) for key, value in _card(cards[0]).items()]
        )
        screen.following(f"interpolants methods --kind {cards[0].kind}", "its neighbours")
        return
    rows = [(c.kind, c.id, c.title, c.status, c.cost, c.limits, ", ".join(c.sources), c.extra) for c in cards]
    header = ("kind", "id", "method", "status", "cost", "limits", "sources", "extra")
    screen.table("Methods", header, rows)
    screen.following(f"interpolants methods {ids[0]}", "all about one of them")


def problems(quiet: Quiet = False, as_json: Json = False) -> None:
    """List problems with known answers, and data sets, to use as x0 and x1.

    \b
    Example:
    interpolants problems
    """
    from interpolants.data.catalogue import available
    from interpolants.foundations.cards import load_cards

    cards = [card for card in load_cards() if card.kind == "problem"]
    sets = available()
    screen = screen_for(quiet or as_json)
    if as_json:
        screen.json({"problems": [_card(card) for card in cards], "datasets": sets})
    screen.table("Problems", ("id", "problem", "shapes"), [(c.id, c.title, c.shapes) for c in cards])
    screen.table(
        "Data sets",
        ("id", "on this machine"),
        [(name, "yes" if there else "no") for name, there in sets.items()],
    )
    screen.following(
        "interpolants run --set 'data.x1={problem = \"moons\"}' --out runs/moons", 'or dataset = "digits"'
    )


def doctor(quiet: Quiet = False, as_json: Json = False) -> None:
    """Show versions, devices and optional packages, and how to install what is missing.

    \b
    Example:
    interpolants doctor
    """
    from interpolants.cli.doctor import diagnose

    found = diagnose()
    screen = screen_for(quiet or as_json)
    if as_json:
        screen.json(found)
    facts = [
        ("interpolants", found["interpolants"]),
        ("python", f"{found['python']} on {found['platform']}"),
        *((name, version or "missing") for name, version in found["core"].items()),
        ("devices", ", ".join(found["torch"]["devices"])),
        ("threads", f"{found['torch']['threads']} of {found['cpus']} processors"),
    ]
    screen.table("Installation", ("", ""), facts)
    rows = [
        (extra, package, version or "missing")
        for extra, packages in found["extras"].items()
        for package, version in packages.items()
    ]
    screen.table("Optional packages", ("extra", "package", "version"), rows)
    for command in found["missing"]:
        screen.say(f"to add: {command}")
    screen.following("interpolants problems", "what there is to try")


def _told(value: Any) -> str:
    """An entry of a card for people."""
    if isinstance(value, dict):
        return "; ".join(f"{key}: {entry}" for key, entry in value.items())
    return ", ".join(value) if isinstance(value, tuple | list) else str(value)


def _card(card: Any) -> dict[str, Any]:
    """A card as JSON-able values."""
    from dataclasses import asdict

    return asdict(card)
