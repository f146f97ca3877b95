"""Bridge two arbitrary distributions with stochastic interpolants."""

import sys
from typing import TYPE_CHECKING, Any

from interpolants.foundations.moved import MovedModules
from interpolants.foundations.version import __version__

if TYPE_CHECKING:
    from interpolants.methods.bridge.bridge import Bridge
    from interpolants.runs.models import load

__all__ = ["Bridge", "__version__", "load"]

sys.meta_path.append(MovedModules())


def __getattr__(name: str) -> Any:
    # Imported on first use: the command line's help should not wait for torch.
    if name == "Bridge":
        from interpolants.methods.bridge.bridge import Bridge

        return Bridge
    if name == "load":
        from interpolants.runs.models import load

        return load
    raise AttributeError(f"module 'interpolants' has no attribute {name!r}")
