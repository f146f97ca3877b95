"""Cache folder of the library on this machine."""

import os
import sys
from pathlib import Path

VARIABLE = "INTERPOLANTS_CACHE"


def cache_folder() -> Path:
    """Return the folder for downloads: ``INTERPOLANTS_CACHE`` if set, else a folder in the cache folder of the system.

    That is ``$XDG_CACHE_HOME/interpolants`` or ``~/.cache/interpolants`` on Linux, ``~/Library/Caches/interpolants`` on
    macOS, and ``%LOCALAPPDATA%\\interpolants\\Cache`` on Windows. The folder may not exist yet.
    """
    if chosen := os.environ.get(VARIABLE):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        return Path(
            os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local", "interpolants", "Cache"
        )
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "interpolants"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "interpolants")
