"""Recorded prompts of a telephone exchange: one speaker, 8000 samples a second."""

from pathlib import Path

from interpolants.apps.speech.recordings import Recording, read_folder
from interpolants.foundations.checks import number
from interpolants.foundations.errors import MissingExtraError, invalid

FOLDER = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
PACKAGE = "asterisk-core-sounds-en-wav"
# Prompts of silence, which are in the package too.
_SOFTEST = 0.05


def recorded_prompts(path: str = "", *, at_least: float = 1.0, limit: int = 0) -> list[Recording]:
    """Prompts of the Asterisk exchange, read by Allison Smith: 568 of 25 minutes, of which 363 last a second or more.

    Args:
        path: A folder with them, or with recordings of one's own; that of the Debian package if empty.
        at_least: Seconds of the shortest prompt; softer ones than a peak of 0.05 are left out.
        limit: Most prompts, in the order of their names; 0 for all.

    Raises:
        MissingExtraError: If the Debian package is not installed, and no path is given.
        InvalidInputError: If the folder holds no such prompts.
    """
    number("recorded_prompts", "at_least", at_least, at_least=0)
    folder = Path(path) if path else FOLDER
    if not folder.is_dir() and not path:
        told = f"recorded_prompts needs {PACKAGE}. Install it with: apt-get install {PACKAGE}"
        raise MissingExtraError(f"{told}; or pass path=, a folder of recordings.")
    every = read_folder(folder, "recorded_prompts")
    found = [
        one for one in every if len(one) >= at_least * one.rate and float(one.samples.abs().max()) >= _SOFTEST
    ]
    if not found:
        raise invalid(
            "recorded_prompts",
            f"the folder must contain prompts of at least {at_least:g} s",
            f"none in {folder}",
        )
    return found[: limit or None]
