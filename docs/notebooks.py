"""Convert the lessons to Jupyter notebooks without output.

    python docs/notebooks.py [FOLDER]       one NAME.ipynb per lesson [default: docs/_build/notebooks]

The page of each lesson links to its notebook. Links in a notebook lead to the site if .ci/release.toml names its
address; otherwise only their text remains.
"""

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import jupytext

ROOT = Path(__file__).resolve().parents[1]
LESSONS = sorted((ROOT / "docs" / "learn").glob("[0-9]*.md"))
FOLDER = ROOT / "docs" / "_build" / "notebooks"
INSTALL = """# Installs the library where it is missing, as on Colab.
import importlib.util

if importlib.util.find_spec("interpolants") is None:
    %pip install --quiet 'interpolants[data,plots]'"""


def addresses() -> dict[str, Any]:
    """The values of .ci/release.toml, which are empty as long as an address does not exist."""
    return tomllib.loads((ROOT / ".ci" / "release.toml").read_text("utf-8"))


def with_links(text: str, site: str) -> str:
    """Markdown in which relative links lead to the site, or became their text if ``site`` is empty."""

    def replaced(link: re.Match[str]) -> str:
        path, _, anchor = link["target"].partition("#")
        page = (ROOT / "docs" / "learn" / path).resolve().relative_to(ROOT).with_suffix(".html")
        return f"[{link['text']}]({site}/{page}{anchor and '#' + anchor})" if site else link["text"]

    return re.sub(r"\[(?P<text>[^\]]*)\]\((?P<target>(?!https?:|#)[^)\s]+)\)", replaced, text)


def notebook(lesson: Path, site: str) -> Any:
    """The notebook of a lesson, with a first cell that installs the library."""
    converted = jupytext.read(lesson, fmt="md:myst")
    for cell in converted.cells:
        if cell.cell_type == "markdown":
            cell.source = with_links(cell.source, site)
        elif "hide-input" in cell.metadata.get("tags", ()):
            cell.metadata["jupyter"] = {"source_hidden": True}
    first = jupytext.reads(f"```{{code-cell}}\n{INSTALL}\n```\n", fmt="md:myst").cells[-1]
    converted.cells.insert(1, first)
    for number, cell in enumerate(converted.cells):
        cell["id"] = f"cell-{number}"  # random otherwise, and the file would change at every build
    converted.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return converted


def write(folder: Path = FOLDER) -> list[Path]:
    """Write the notebooks of all lessons; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for lesson in LESSONS:
        written.append(folder / f"{lesson.stem}.ipynb")
        jupytext.write(notebook(lesson, addresses()["documentation"]), written[-1], fmt="ipynb")
    return written


def buttons(name: str, page: str) -> str:
    """The source of a lesson's page with links to its notebook below the title."""
    repository = addresses()["repository"]
    links = f"{{download}}`Download as a notebook </docs/_build/notebooks/{name}.ipynb>`"
    if repository:
        opened = repository.replace("https://github.com/", "https://colab.research.google.com/github/")
        links += f" [Open in Colab]({opened}/blob/notebooks/{name}.ipynb)"
    return re.sub(r"^(# .+\n)", rf"\1\n{links}\n", page, count=1, flags=re.MULTILINE)


if __name__ == "__main__":
    for path in write(Path(sys.argv[1]) if sys.argv[1:] else FOLDER):
        sys.stdout.write(f"{path}\n")
