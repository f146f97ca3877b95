"""Seeds per (run, stream, process, step)."""

from functools import lru_cache

from interpolants.foundations.randomness import key

BATCH, LOSS, MODULE = "training batch", "training loss", "training module"
AGGREGATE = "training aggregate"
_MASK = (1 << 64) - 1


def step_seed(seed: int, stream: str, step: int, rank: int = 0) -> int:
    """Seed of step ``step`` in ``stream``: SplitMix64 at position ``step``, started at a key of the others.

    A fresh key per step would cost as much as the gradient norm of a small network; this costs a microsecond.

    Args:
        seed: The run's seed, >= 0.
        stream: `BATCH`, `LOSS`, `MODULE` or `AGGREGATE`.
        step: 1, 2, ...
        rank: Number of the process.

    Source: Steele, Lea & Flood (2014), "Fast splittable pseudorandom number generators".
    """
    z = (_origin(seed, stream, rank) + step * 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return (z ^ (z >> 31)) >> 1


@lru_cache(maxsize=64)
def _origin(seed: int, stream: str, rank: int) -> int:
    return key(seed, stream, rank)
