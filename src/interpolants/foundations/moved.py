"""Modules that moved, and names that changed: an import by the old name is refused with the new one."""

import re
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from interpolants.foundations.renamed import RENAMED
from interpolants.foundations.rings import RINGS

_PACKAGE = Path(__file__).parents[1]


class MovedModules:
    """Last finder of imports, called for modules that no other finder has found.

    A part that one room alone uses lies in that room: ``interpolants.data.tracks`` is now
    ``interpolants.apps.trajectories.data.tracks``. No table lists the moves: a package that has a module of this name,
    or a room that defines this name, is the new place.
    """

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return None, or raise the error that names the new module.

        Raises:
            ModuleNotFoundError: If it was renamed, or a room has it.
        """
        package, _, last = name.rpartition(".")
        if package.partition(".")[0] != _PACKAGE.name or not last.isidentifier():
            return None
        if last in RENAMED:
            raise ModuleNotFoundError(
                f"No {last!r} in {package!r}; it was renamed to {RENAMED[last]!r}", name=last
            )
        defined = re.compile(rf"^(?:class|def) {last}\b|^{last} =", re.MULTILINE)
        modules = {
            file.parent if file.name == "__init__.py" else file.with_suffix(""): file
            for file in sorted(_PACKAGE.rglob("*.py"))
        }
        in_rooms = {module: file for module, file in modules.items() if _is_in_room(module)}
        homes: list[Path] = []
        for part in (in_rooms, modules):
            homes = homes or [module for module in part if module.name == last]
            homes = homes or [m for m, file in part.items() if defined.search(file.read_text("utf-8"))]
        if not homes:
            return None
        places = [".".join(module.relative_to(_PACKAGE.parent).parts) for module in homes]
        # `from a import b` passes over an error that bears the name that was asked for.
        raise ModuleNotFoundError(f"No {last!r} in {package!r}; see {' or '.join(places)}", name=places[0])


def _is_in_room(module: Path) -> bool:
    return module.relative_to(_PACKAGE).parts[:1] in {(ring,) for ring in RINGS}
