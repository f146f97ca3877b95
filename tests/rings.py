"""The rings of the package that are there: the core's tests hold in a tree from which rings were deleted."""

import re

from interpolants.foundations.rings import RINGS
from source_trees import SOURCE

ABSENT = tuple(ring for ring in RINGS if not (SOURCE / ring / "__init__.py").is_file())


def names_absent(text: str) -> bool:
    """Whether a page, a recipe or a link is about a ring that was deleted: it names its modules or its files."""
    return any(re.search(rf"\b(?:interpolants|tests)[./]{ring}\b", text) for ring in ABSENT)
