"""The floor of the library: errors, randomness, cards, storage, arrays and derivatives; it imports nothing of ours."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interpolants.foundations.derivatives import exact_divergence, probed_divergence

__all__ = ["exact_divergence", "probed_divergence"]


def __getattr__(name: str) -> Any:
    # Imported on first use: the command line's help, which reads cards, should not wait for torch.
    if name in __all__:
        from interpolants.foundations import derivatives

        return getattr(derivatives, name)
    raise AttributeError(f"module 'interpolants.foundations' has no attribute {name!r}")
