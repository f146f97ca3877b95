"""Write ``docs/gallery.md`` from the examples' docstrings and the committed pictures: ``python -m gallery.page``."""

import ast
import json
import os
from pathlib import Path

from gallery import GROUPS
from gallery.__main__ import TIMES

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "gallery" / "pictures"
PAGE = ROOT / "docs" / "gallery.md"
HEAD = """# Gallery

What can be done in less than a minute on one core. Each picture is made by a short script, to be read from top to
bottom; `python -m gallery.moons_to_rings` runs one, `python -m gallery` all of them (from a checkout; pictures go to
`runs/gallery`). The seconds are those of one core of a slow machine, training included. A click shows the full size.
"""


def picture(name: str) -> Path:
    """The committed picture of an example."""
    animated = PICTURES / f"{name}.gif"
    return animated if animated.exists() else PICTURES / f"{name}.png"


def about(name: str) -> tuple[str, str, str]:
    """Title, sentence and page of the method, read without running the example."""
    tree = ast.parse((ROOT / "gallery" / f"{name}.py").read_text("utf-8"))
    title, _, sentence = (ast.get_docstring(tree) or "").partition("\n\n")
    values = {
        node.targets[0].id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
    }
    return title.rstrip("."), " ".join(sentence.split()), str(values.get("METHOD", ""))


def card(name: str, seconds: float) -> str:
    """One example: a thumbnail, a sentence, the links."""
    title, sentence, method = about(name)
    whole = picture(name)
    small = whole if whole.suffix == ".gif" else PICTURES / "thumbnails" / whole.name
    links = {"script": ROOT / "gallery" / f"{name}.py", "method": ROOT / method}
    after = " · ".join(f"[{word}]({link(path)})" for word, path in links.items())
    return (
        f"<div>\n\n[![{title}]({link(small)})]({link(whole)})\n\n"
        f"**{title}.** {sentence} {seconds:.0f} s · {after}\n\n</div>\n"
    )


def link(path: Path) -> str:
    """A path as seen from the page."""
    return Path(os.path.relpath(path, PAGE.parent)).as_posix()


def page() -> str:
    """The whole page."""
    seconds = json.loads((PICTURES / TIMES).read_text("utf-8"))
    parts = [HEAD]
    for group, names in GROUPS.items():
        cards = "\n".join(card(name, seconds[name]) for name in names)
        parts.append(f'## {group}\n\n<div class="gallery">\n\n{cards}\n</div>\n')
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
