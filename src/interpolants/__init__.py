"""Bridge two arbitrary distributions with stochastic interpolants.

``interpolants.Bridge`` and all other methods are here by the names of their classes, subpackages by theirs.
"""

import pkgutil
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from interpolants.foundations.moved import MovedModules
from interpolants.foundations.version import __version__

if TYPE_CHECKING:
    from interpolants.methods.bridge.bridge import Bridge
    from interpolants.methods.free_energies import free_energy
    from interpolants.methods.mutual_information import mutual_information
    from interpolants.runs.compare_tables import compare
    from interpolants.runs.models import load
    from interpolants.runs.search import find

__all__ = ["Bridge", "__version__", "compare", "find", "free_energy", "load", "mutual_information"]

# Function -> its module.
_FUNCTIONS = {
    "compare": "interpolants.runs.compare_tables",
    "find": "interpolants.runs.search",
    "free_energy": "interpolants.methods.free_energies",
    "load": "interpolants.runs.models",
    "mutual_information": "interpolants.methods.mutual_information",
}

sys.meta_path.append(MovedModules())


def __getattr__(name: str) -> Any:
    # Imported on first use: the command line's help should not wait for torch.
    if name in _FUNCTIONS:
        return getattr(import_module(_FUNCTIONS[name]), name)
    if not name.startswith("_"):
        if name in (methods := _methods()):
            return methods[name].load_entry()
        if name in _subpackages():
            return import_module(f"{__name__}.{name}")
    hint = "" if name.startswith("_") else _nearest(name)
    raise AttributeError(
        f"module 'interpolants' has no attribute {name!r}{hint}", name=name, obj=sys.modules[__name__]
    )


def __dir__() -> list[str]:
    return sorted({*__all__, *_methods(), *_subpackages()})


def _methods() -> dict[str, Any]:
    """Cards of the methods by the names of their classes, those of other distributions included."""
    from interpolants.foundations.cards import load_cards

    return {card.entry.rpartition(":")[2]: card for card in load_cards() if card.kind == "method"}


def _subpackages() -> list[str]:
    """Packages with modules in them: the others only say where their parts went."""
    packages = [module.name for module in pkgutil.iter_modules(__path__) if module.ispkg]
    return [
        name for name in packages if any(pkgutil.iter_modules([f"{folder}/{name}" for folder in __path__]))
    ]


def _nearest(name: str) -> str:
    from interpolants.foundations.errors import suggestion

    return f". {hint}" if (hint := suggestion(name, __dir__())) else ""
