"""Storage of a method at an address: written to a temporary folder, then uploaded with its manifest last."""

import tempfile
from pathlib import Path

from interpolants.foundations import trees
from interpolants.foundations.remote_folders import local_path, read_readme, upload, writable_protocol
from interpolants.foundations.storage import README
from interpolants.framework.model_card import card_to_keep


def save_remotely(address: str | Path, tree: trees.Tree, card: str) -> str | Path:
    """Write a tree to an address, and return the address.

    Args:
        address: Address of the folder; an older stored folder there is replaced.
        tree: The tree.
        card: Model card; one at the address that a user edited is kept, with a warning.

    Raises:
        InvalidInputError: If nothing can be written to the protocol, or the address holds other files.
        MissingExtraError: If the protocol needs a package that is not installed.
        StorageError: If the upload fails.
    """
    writable_protocol("save", address)  # before any work
    url = str(address)
    if (local := local_path(url)) is not None:
        trees.write(local, tree, readme=card_to_keep(local, card))
        return address
    with tempfile.TemporaryDirectory(prefix="interpolants-") as temporary:
        folder = Path(temporary) / "model"
        folder.mkdir()
        if (old := read_readme(url)) is not None:
            (folder / README).write_bytes(old)
        readme = card_to_keep(folder, card)
        (folder / README).unlink(missing_ok=True)
        upload(trees.write(folder, tree, readme=readme), url)
    return address
