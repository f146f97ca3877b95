"""Warnings: six classes, by what a reader can do about them, each at the line of the caller's own code."""

import os
import sys
import warnings
from pathlib import Path


class InterpolantsWarning(UserWarning):
    """Base class of the library's warnings."""


class DataWarning(InterpolantsWarning):
    """Issued when unusual data impair the fit: inspect them."""


class OutsideWarning(InterpolantsWarning):
    """Issued when a request lies outside the training data: the answer is not reliable."""


class FitWarning(InterpolantsWarning):
    """Issued when a fit or a solver did not converge: train longer, or treat the result as unreliable."""


class SettingWarning(InterpolantsWarning):
    """Issued when settings do not suit the data or each other, or have no effect: change them."""


class AssumptionWarning(InterpolantsWarning):
    """Issued when missing information was assumed: pass it."""


class FileWarning(InterpolantsWarning):
    """Issued when a file or an installed package is not as expected, and is read unchanged, or omitted."""


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
