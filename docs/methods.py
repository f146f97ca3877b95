"""Write ``docs/methods/README.md`` from the cards: ``python docs/methods.py``; ``--check`` compares instead."""

import sys
from itertools import groupby
from pathlib import Path

from interpolants.foundations.cards import load_cards

PAGE = Path(__file__).parent / "methods" / "README.md"
HEAD = """# Methods

This table is written from the cards, the TOML files beside the methods (`python docs/methods.py`). In Python a member
is made by its id, e.g. `paths.get_path("linear")`; `interpolants methods` prints the same list. The test named in a row
compares with the known answer beside it.

![The distribution of x_t for three paths](../images/marginals.png)
"""


def page() -> str:
    """The page as Markdown."""
    parts = [HEAD]
    cards = load_cards("interpolants")
    for kind, members in groupby(cards, key=lambda card: card.kind):
        parts.append(f"## {kind.replace('_', ' ').capitalize()}\n")
        parts.append(
            "| id | what | shapes | cost | limits | known answer |\n| --- | --- | --- | --- | --- | --- |"
        )
        for card in members:
            answer = f"[{card.proof.answer}](../../{card.proof.test})"
            cells = (f"`{card.id}`", card.title, card.shapes, card.cost, card.limits, answer)
            parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        parts.append("")
    return "\n".join(parts)


def main() -> int:
    """Write the page, or say whether it is up to date."""
    if "--check" in sys.argv:
        fresh = PAGE.exists() and PAGE.read_text() == page()
        print("docs/methods/README.md is", "up to date" if fresh else "stale: run python docs/methods.py")  # noqa: T201
        return 0 if fresh else 1
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
