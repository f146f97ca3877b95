"""Write ``docs/methods/README.md`` from the cards: ``python docs/methods.py``; ``--check`` compares instead.

A method of its own, that is no rival, also gets a page in ``docs/reference/classes``, which ``method_pages.py`` fills.
``docs/questions.md`` and the type stubs of packages that are filled from cards are written too (`stubs.py`).
"""

import re
import sys
from itertools import groupby
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1])]

from docs.stubs import SOURCE, stubs  # noqa: E402

from interpolants.foundations.cards import load_cards  # noqa: E402
from interpolants.runs.recipes import recipes  # noqa: E402
from interpolants.runs.search import topics  # noqa: E402

PAGE = Path(__file__).parent / "methods" / "README.md"
CLASSES = PAGE.parents[1] / "reference" / "classes"
RIVALS = "interpolants.methods.rivals."
QUESTIONS = PAGE.parents[1] / "questions.md"
QUESTIONS_HEAD = """# Which method for which question

`interpolants find WORDS`, or `itp.find("words")` in Python, answers a question in your own words. The tasks that it
knows:

| you want to | type | read |
| --- | --- | --- |
"""
VERBS_HEAD = """
## Methods by what they answer to

Every method is fitted and then asked by a *verb*: `model.sample(...)` in Python, `interpolants sample FOLDER ...` in a
shell. A recipe runs by its name: `interpolants run --config NAME --quick --out runs/first`; without `--quick` it is the
reference run.
"""
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


def questions() -> str:
    """The page of tasks, from the topics of the search, and of methods by what they answer to."""
    tasks = [
        f"| {t.title} | `{t.call}` | [{_heading(t.page)}]({t.page.removeprefix('docs/')}) |" for t in topics()
    ]
    parts = [QUESTIONS_HEAD + "\n".join(tasks), VERBS_HEAD]
    methods = [card for card in load_cards("interpolants") if card.kind == "method"]
    listed = [card for card in methods if not card.entry.startswith(RIVALS)]
    names = recipes()
    helps = {verb: text for card in load_cards("interpolants") for verb, text in card.verb_help.items()}
    for verb in sorted({verb for card in listed for verb in card.verbs}):
        parts.append(f"### `{verb}`\n" + (f"\n{helps[verb].rstrip('.')}.\n" if verb in helps else ""))
        parts.append("| method | what | data | recipe |\n| --- | --- | --- | --- |")
        for card in (card for card in listed if verb in card.verbs):
            name, recipe = (
                card.entry.partition(":")[2],
                f"`{card.recipe}`" if card.recipe in names else "",
            )
            cells = (f"[`{name}`](reference/classes/{card.id}.md)", card.title, card.shapes, recipe)
            parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        parts.append("")
    return "\n".join(parts)


def _heading(page: str) -> str:
    """The heading that an anchor of a page stands for, or its first."""
    name, _, anchor = page.partition("#")
    heads = re.findall(r"^#+ (.+)$", (QUESTIONS.parents[1] / name).read_text("utf-8"), re.MULTILINE)
    slugs = {re.sub(r"[^\w -]", "", head.lower()).strip().replace(" ", "-"): head for head in heads}
    head = slugs.get(anchor, next(iter(slugs.values()))).removeprefix("... ")
    return head[0].upper() + head[1:]


def written() -> dict[Path, str]:
    """All files that are made from cards."""
    return {PAGE: page(), QUESTIONS: questions(), **classes(), **stubs()}


def strays() -> list[Path]:
    """Files of methods and packages that are no more."""
    files = written()
    return [path for path in [*CLASSES.glob("*.md"), *SOURCE.rglob("*.pyi")] if path not in files]


def stale() -> list[str]:
    """Files that are missing, other than the cards say, or of a method that is no more."""
    found = [path for path, text in written().items() if not path.exists() or path.read_text() != text]
    return [f"{path.parent.name}/{path.name}" for path in [*found, *strays()]]


def main() -> int:
    """Write the pages, or say whether they are up to date."""
    if "--check" in sys.argv:
        told = (
            f"stale ({', '.join(found)}): run python docs/methods.py" if (found := stale()) else "up to date"
        )
        print("the files made from cards are", told)  # noqa: T201
        return 1 if found else 0
    for path, text in written().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    for path in strays():
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
