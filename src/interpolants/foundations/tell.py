"""Warnings: six classes, by what a reader can do about them, each at the line of the caller's own code."""

import os
import sys
import warnings
from pathlib import Path


class InterpolantsWarning(UserWarning):
    """Base class of the library's warnings."""


class DataWarning(InterpolantsWarning):
    """The data are unusual in a way that spoils what is learnt: look at them."""


class OutsideWarning(InterpolantsWarning):
    """An answer is asked for where nothing was learnt: do not trust it."""


class FitWarning(InterpolantsWarning):
    """A fit or a solver did not get where it should: train longer, or do not trust the result."""


class SettingWarning(InterpolantsWarning):
    """Settings do not suit the data or each other, or have no effect: choose others."""


class AssumptionWarning(InterpolantsWarning):
    """Something was not told and was assumed: say it."""


class FileWarning(InterpolantsWarning):
    """A file or an installed package is not as it should be, and is read as it is, or left out."""


_OWN = str(Path(__file__).parents[1]) + os.sep
# What calls back into the library: these frames are nobody's either. Packages are found among those that are imported.
_STANDARD = tuple(str(Path(os.__file__).parent / name) for name in ("contextlib.py", "functools.py"))
_BETWEEN = ("torch", "numpy", "scipy", "sklearn")


def tell(kind: type[InterpolantsWarning], text: str) -> None:
    """Warn at the nearest line that is neither the library's nor that of a package which calls it back.

    Python 3.12 has ``skip_file_prefixes`` for this; counting frames works for all versions alike.

    Args:
        kind: One of the six classes.
        text: Who warns, what is wrong, and a remedy.
    """
    packages = (getattr(sys.modules.get(name), "__file__", None) for name in _BETWEEN)
    between = tuple(os.path.dirname(file) + os.sep for file in packages if file)
    skipped = (_OWN, *_STANDARD, *between)
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(skipped):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, kind, stacklevel=level)
