"""Commands that list the available problems and the installed packages."""

from typing import Any

from interpolants.cli.shared import Json, Quiet, installed_cards, screen_for


def problems(quiet: Quiet = False, as_json: Json = False) -> None:
    """List the problems with exact solutions and the data sets that x0 and x1 accept.

    \b
    Example:
    interpolants problems
    """
    from interpolants.data.catalogue import available

    screen = screen_for(quiet or as_json)
    cards = [card for card in installed_cards(screen).cards if card.kind == "problem"]
    sets = available()
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
    """Show versions, devices and optional packages, with install commands for missing packages.

    \b
    Example:
    interpolants doctor
    """
    from interpolants.cli.doctor import diagnose

    found = diagnose()
    screen = screen_for(quiet or as_json)
    if as_json:
        screen.json(found)
    members = found["cards"]
    facts = [
        ("interpolants", found["interpolants"]),
        ("python", f"{found['python']} on {found['platform']}"),
        *((name, version or "missing") for name, version in found["core"].items()),
        ("devices", ", ".join(found["torch"]["devices"])),
        ("members", f"{members['count']} in {', '.join(members['packages'])}"),
        ("threads", f"{found['torch']['threads']} of {found['cpus']} processors"),
    ]
    screen.table("Installation", ("", ""), facts)
    rows = [
        (extra, package, version or "missing")
        for extra, packages in found["extras"].items()
        for package, version in packages.items()
    ]
    screen.table("Optional packages", ("extra", "package", "version"), rows)
    for fault in members["left_out"]:
        screen.say(f"cards skipped: {fault}")
    for command in found["missing"]:
        screen.say(f"to add: {command}")
    screen.following("interpolants problems", "what there is to try")


def _card(card: Any) -> dict[str, Any]:
    """A card as JSON-able values."""
    from dataclasses import asdict

    return asdict(card)
