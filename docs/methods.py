"""Write ``docs/methods/README.md`` from the cards: ``python docs/methods.py``; ``--check`` compares instead.

A method of its own, that is no rival, also gets a page in ``docs/reference/classes``, which ``method_pages.py`` fills.
"""

import sys
from itertools import groupby
from pathlib import Path

from interpolants.foundations.cards import load_cards

PAGE = Path(__file__).parent / "methods" / "README.md"
CLASSES = PAGE.parents[1] / "reference" / "classes"
RIVALS = "interpolants.methods.rivals."
HEAD = """# Methods

One page for each family: which member for which task, with examples; from there to the page of each method and class.

| you want to | family |
| --- | --- |
| go from one distribution to another | [two distributions](../families/two_distributions.md) |
| make new samples like those you have | [generation from noise](../families/generation.md) |
| pay fewer evaluations of the network | [fewer evaluations](../families/few_evaluations.md) |
| know densities, or how far a model can be trusted | [densities and diagnostics](../families/densities.md) |
| ask under a condition, a measurement, a reward | [conditions and measurements](../families/conditions.md) |
| forecast, or fill gaps of a series | [forecasts and series](../families/series.md) |
| know the memory, the law or the chaos of a series | [stochastic processes and chaos](../families/processes.md) |
| clean up speech, scans and other recordings | [speech and medical images](../families/recordings.md) |
| solve equations, or complete tables | [equations and Gaussian processes](../families/scientific.md) |
| get error bars of a network, learn new tasks, understand training | [networks](../families/networks.md) |

```{toctree}
:hidden:

../families/two_distributions
../families/generation
../families/few_evaluations
../families/densities
../families/conditions
../families/series
../families/processes
../families/recordings
../families/scientific
../families/networks
```

{{ other pages }}

## All members

These tables are written from the cards, the TOML files beside the members (`python docs/methods.py`). In Python a
member is made by its id, e.g. `paths.get_path("linear")`; `interpolants methods` prints the same list. The test named
in a row compares with the known answer beside it.

![The distribution of x_t for three paths](../images/marginals.png)
"""


def page() -> str:
    """The page as Markdown."""
    parts = [HEAD]
    cards = load_cards("interpolants")
    for kind, members in groupby(cards, key=lambda card: card.kind):
        parts.append(f"### {kind.replace('_', ' ').capitalize()}\n")
        parts.append(
            "| id | what | shapes | cost | limits | known answer |\n| --- | --- | --- | --- | --- | --- |"
        )
        for card in members:
            answer = f"[{card.proof.answer}](../../{card.proof.test})"
            cells = (f"`{card.id}`", card.title, card.shapes, card.cost, card.limits, answer)
            parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        parts.append("")
    return "\n".join(parts)


def classes() -> dict[Path, str]:
    """The pages of the methods' classes."""
    cards = [card for card in load_cards("interpolants") if card.kind == "method"]
    own = {card.id: card.entry.partition(":")[2] for card in cards if not card.entry.startswith(RIVALS)}
    return {CLASSES / f"{id}.md": f"# {name}\n\n{{{{ class {id} }}}}\n" for id, name in own.items()}


def stale() -> list[str]:
    """Files that are missing, other than the cards say, or of a method that is no more."""
    wanted = {PAGE: page(), **classes()}
    found = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    return [path.name for path in [*found, *(path for path in CLASSES.glob("*.md") if path not in wanted)]]


def main() -> int:
    """Write the pages, or say whether they are up to date."""
    if "--check" in sys.argv:
        told = (
            f"stale ({', '.join(found)}): run python docs/methods.py" if (found := stale()) else "up to date"
        )
        print("the pages made from cards are", told)  # noqa: T201
        return 1 if found else 0
    for path, text in {PAGE: page(), **classes()}.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    for path in CLASSES.glob("*.md"):
        if path not in classes():
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
