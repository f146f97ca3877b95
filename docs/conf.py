"""Settings of the documentation: ``make docs`` builds it into ``docs/_build/html``, and a warning fails the build.

The source folder is the repository itself, so that links between pages, studies, tests and recipes work as they stand.
"""

import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from interpolants.foundations.version import __version__  # noqa: E402

project, author = "interpolants", "the interpolants contributors"
copyright = author
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinxcontrib.bibtex",
]
root_doc = "docs/index"
include_patterns = [
    "docs/*.md",
    "docs/**/*.md",
    "studies/*.md",
    "studies/**/README.md",
    "studies/*/table.md",
    "*.md",
]
exclude_patterns = ["docs/_build", ".venv", "README.md", "runs"]
suppress_warnings = ["myst.header"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
bibtex_bibfiles = ["references.bib"]

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_use_ivar = True
napoleon_custom_sections = [("Source", "returns_style")]

copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_title = "interpolants"
html_static_path: list[str] = []


def escape_shapes(app: Any, what: str, name: str, obj: object, options: Any, lines: list[str]) -> None:
    """Shapes such as ``(B, *D)`` are written plainly in docstrings; the star is none of emphasis."""
    for i, line in enumerate(lines):
        parts = line.split("``")
        parts[::2] = [re.sub(r"\*(?=[A-Za-z])", r"\\*", part) for part in parts[::2]]
        lines[i] = "``".join(parts)


def mark_tables(app: Any, name: str, source: list[str]) -> None:
    """The tables that studies write are reached from their pages, not from the menu."""
    if name.endswith("/table"):
        source[0] = "---\norphan: true\n---\n\n# Table\n\n" + source[0]


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", mark_tables)
    app.connect("autodoc-process-docstring", escape_shapes)
