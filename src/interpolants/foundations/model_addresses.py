"""Local folder of a model that is named by a path, by an address, or as one that ships trained."""

import os
from pathlib import Path

from interpolants.foundations.errors import invalid
from interpolants.foundations.pretrained import PREFIX, pretrained_folder
from interpolants.foundations.remote_folders import check_address, download, is_address, split_protocol


def is_elsewhere(folder: str | os.PathLike[str]) -> bool:
    """Return True if a place is written as an address or as a model that ships trained, and False for a path."""
    return is_address(folder) or bool(split_protocol(folder)) or str(folder).startswith(PREFIX)


def local_folder(folder: str | os.PathLike[str], caller: str = "load") -> Path:
    """Return the local folder of a model: the path itself, a download in the cache, or a folder of this package.

    Args:
        folder: Path; address ``https://...``, ``s3://...``, ``hf://...``, ``memory://...`` or ``file://...``; or
            ``"pretrained:NAME"``.
        caller: Name of the caller, used in error messages.

    Raises:
        InvalidInputError: If ``place`` is neither, or the address is refused or holds no complete folder.
        MissingExtraError: If the protocol needs a package that is not installed.
        StorageError: If the address cannot be reached.
    """
    if not isinstance(folder, str | os.PathLike):
        raise invalid(caller, "folder must be a path or an address", type(folder).__name__)
    if isinstance(folder, str) and folder.startswith(PREFIX):
        return pretrained_folder(folder, caller)
    if is_address(folder):
        return download(str(folder), caller)
    if split_protocol(folder):  # Path("https://...") has dropped a slash
        check_address(caller, folder)
    return Path(folder)
