"""Build hook: the page of the project on PyPI is README.md with links that lead to the repository.

On PyPI relative links and images lead nowhere. While .ci/release.toml has no address of the repository, the text is
unchanged.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


def with_links(text: str, repository: str, ref: str) -> str:
    """Markdown with relative links and images at a tag of the repository."""
    if not repository:
        return text
    raw = repository.replace("https://github.com/", "https://raw.githubusercontent.com/")
    text = re.sub(r"(!\[[^\]]*\]\()(?!https?:)([^)\s]+\))", rf"\g<1>{raw}/{ref}/\g<2>", text)
    return re.sub(r"(\[[^\]]*\]\()(?!https?:|#)([^)\s]+\))", rf"\g<1>{repository}/blob/{ref}/\g<2>", text)


class ReadmeHook(MetadataHookInterface):
    """Set ``readme``, which pyproject.toml declares as dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the text to the metadata."""
        root = Path(self.root)
        release = tomllib.loads((root / ".ci" / "release.toml").read_text("utf-8"))
        text = (root / "README.md").read_text("utf-8")
        text = with_links(text, release["repository"], f"v{release['version']}")
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
