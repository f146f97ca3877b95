"""Foundations: errors, randomness, base distributions, cards, storage, array operations, derivatives."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interpolants.foundations.base import BaseDistribution
    from interpolants.foundations.derivatives import exact_divergence, probed_divergence
    from interpolants.foundations.gaussian import Gaussian
    from interpolants.foundations.tell import (
        AssumptionWarning,
        DataWarning,
        FileWarning,
        FitWarning,
        InterpolantsWarning,
        OutsideWarning,
        SettingWarning,
    )

__all__ = [
    "AssumptionWarning",
    "BaseDistribution",
    "DataWarning",
    "FileWarning",
    "FitWarning",
    "Gaussian",
    "InterpolantsWarning",
    "OutsideWarning",
    "SettingWarning",
    "exact_divergence",
    "probed_divergence",
]
_HOMES = {
    "BaseDistribution": "base",
    "Gaussian": "gaussian",
    "exact_divergence": "derivatives",
    "probed_divergence": "derivatives",
    "AssumptionWarning": "tell",
    "DataWarning": "tell",
    "FileWarning": "tell",
    "FitWarning": "tell",
    "InterpolantsWarning": "tell",
    "OutsideWarning": "tell",
    "SettingWarning": "tell",
}


def __getattr__(name: str) -> Any:
    # Imported on first use: the command line's help, which reads cards, should not wait for torch.
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
