"""Problems by name."""

from typing import Any

from interpolants.foundations.registry import build


def get_problem(name: str, **settings: Any) -> Any:
    """Make a problem by the id of its card, e.g. ``get_problem("checkerboard", cells=6)``.

    Raises:
        InvalidInputError: If the name or a setting is unknown; the nearest is named.
    """
    return build("problem", name, **settings)
