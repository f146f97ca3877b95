"""Distributions of other people, written for a test: a package, its metadata and its entry point."""

from pathlib import Path

CARD = """
id = "{id}"
title = "{title}"
kind = "{kind}"
family = "tests"
entry = "{entry}"
ring = "core"
status = "trial"
extra = ""
sources = []
shapes = "x (B, D) -> (B, D)"
cost = "none"
limits = "none"
[proof]
test = "tests/test_{id}.py"
answer = "none"
"""


def card(kind: str, id: str, entry: str, title: str = "A member of somebody else's") -> str:
    """The text of a card."""
    return CARD.format(kind=kind, id=id, entry=entry, title=title)


def write_distribution(place: Path, package: str, files: dict[str, str]) -> None:
    """Install a distribution in a folder: put the folder on ``sys.path`` and its cards are found.

    Args:
        place: The folder.
        package: Name of the package, also that of the distribution.
        files: Path inside the package -> text.
    """
    for path, text in {"__init__.py": "", **files}.items():
        target = place / package / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
    metadata = place / f"{package}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", "utf-8")
    (metadata / "entry_points.txt").write_text(f"[interpolants.cards]\nmine = {package}\n", "utf-8")
