"""Settings of the documentation: ``make docs`` builds it into ``docs/_build/html``, and a warning fails the build.

The source folder is the repository itself, so that links between pages, studies, tests and recipes work as they stand.

The lessons of ``docs/learn`` are run where ``INTERPOLANTS_DOCS_EXECUTE=1``, as ``make docs`` sets it; one that fails,
or takes longer than a minute a cell, fails the build. What they gave is kept beside the site and used again until a
lesson or the library changes. Without the variable they are shown without output, which takes no time.
"""

import hashlib
import logging
import os
import re
import shutil
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]
os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # lessons give the same numbers, and no less quickly, whatever else runs

from docs import notebooks, site_search  # noqa: E402
from docs.cards_in_reference import expand  # noqa: E402
from docs.method_pages import expand as expand_methods  # noqa: E402

from interpolants.foundations.version import __version__  # noqa: E402

project, author = "interpolants", "the interpolants contributors"
copyright = author
release = version = __version__

extensions = [
    "myst_nb",
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

nb_execution_mode = "cache" if os.environ.get("INTERPOLANTS_DOCS_EXECUTE") == "1" else "off"
nb_execution_timeout = 60
nb_execution_raise_on_error = True
nb_merge_streams = True
_library = hashlib.sha256(b"".join(path.read_bytes() for path in sorted((ROOT / "src").rglob("*.py"))))
_executed = ROOT / "docs" / "_build" / "executed"
nb_execution_cache_path = str(_executed / _library.hexdigest()[:12])
if nb_execution_mode == "cache":
    for _older in _executed.glob("*"):  # made with a library that is no more
        if str(_older) != nb_execution_cache_path:
            shutil.rmtree(_older)

logging.getLogger("traitlets").setLevel(logging.ERROR)  # it would announce every lesson

html_math_renderer = "mathml"

copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_title = "interpolants"
html_baseurl = notebooks.addresses()["documentation"]
if _repository := notebooks.addresses()["repository"]:  # links to the source of each page
    html_theme_options = {"source_repository": _repository, "source_branch": "main", "source_directory": ""}
html_static_path = ["_static"]
html_css_files = ["site.css", "gallery.css"]
html_js_files = ["search.js"]  # ranks the results of the search page


def escape_shapes(app: Any, what: str, name: str, obj: object, options: Any, lines: list[str]) -> None:
    """Shapes such as ``(B, *D)`` are written plainly in docstrings; the star is none of emphasis."""
    for i, line in enumerate(lines):
        parts = line.split("``")
        parts[::2] = [re.sub(r"\*(?=[A-Za-z])", r"\\*", part) for part in parts[::2]]
        lines[i] = "``".join(parts)


def mark_tables(app: Any, name: str, source: list[str]) -> None:
    """Omit pages from the menu that other pages list: studies and their tables, notes of releases, and two more."""
    if name.endswith("/table"):
        source[0] = "# Table\n\n" + source[0]
    listed = name.startswith("studies/") and name != "studies/README"
    if listed or name.startswith("docs/release/") or name in ("docs/install", "CODE_OF_CONDUCT"):
        source[0] = "---\norphan: true\n---\n\n" + source[0]


def list_members(app: Any, name: str, source: list[str]) -> None:
    """Members with cards come into the reference by themselves."""
    source[0] = expand_methods(expand(source[0]))


def convert_lessons(app: Any) -> None:
    """Write the notebooks, which the pages of the lessons link to."""
    notebooks.write()


def add_buttons(app: Any, name: str, source: list[str]) -> None:
    """Each lesson begins with a link to its notebook."""
    if re.match(r"docs/learn/\d", name):
        source[0] = notebooks.buttons(Path(name).name, source[0])


def show_formula(display: str) -> Any:
    """Write a formula as MathML, which browsers show without a script from elsewhere."""

    def visit(translator: Any, node: Any) -> None:
        formula = convert(node.astext(), display=display)
        translator.body.append(f"<p>{formula}</p>" if display == "block" else formula)
        raise nodes.SkipNode

    return visit


def add_index(app: Any, page: str, template: str, context: Any, doctree: Any) -> None:
    """The page of the search loads the index that :func:`write_index` writes."""
    if page == "search":
        app.add_js_file("find_index.js")


def write_index(app: Any, exception: Exception | None) -> None:
    """Write the index of ``interpolants find``."""
    if exception is None and app.builder.format == "html":
        objects = app.env.get_domain("py").objects
        site_search.write(
            Path(app.outdir) / "_static" / "find_index.js",
            {name: f"{entry.docname}#{entry.node_id}" for name, entry in objects.items()},
        )


def skip_settings(app: Any, what: str, name: str, member: object, skip: bool, options: Any) -> bool | None:
    """Leave out fields with a sentence below them: they stand in the arguments of their class."""
    is_value = not callable(member) and not isinstance(member, property | cached_property | classmethod)
    return True if what == "class" and not skip and is_value else None


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.add_html_math_renderer(
        "mathml",
        inline_renderers=(show_formula("inline"), None),
        block_renderers=(show_formula("block"), None),
    )
    app.connect("source-read", mark_tables)
    app.connect("source-read", list_members)
    app.connect("builder-inited", convert_lessons)
    app.connect("source-read", add_buttons)
    app.connect("html-page-context", add_index)
    app.connect("build-finished", write_index)
    app.connect("autodoc-process-docstring", escape_shapes)
    app.connect("autodoc-skip-member", skip_settings)
