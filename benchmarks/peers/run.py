"""Published libraries, hand-written best cases and the bare arithmetic, timed beside ours in one process."""

import importlib
import pkgutil
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import benchmarks.peers.items as folder
from benchmarks.overhead import machine
from benchmarks.peers.bench import Bench, Item, Listing, Measured
from benchmarks.peers.page import listing_table, measured_table, put_into, ratios_to_peers, summary

_LIBRARIES = (
    "torchcfm flow-matching azula torchdeltaflow torchdyn torchdiffeq torchsde diffusers POT lapx geomloss"
)


def run(
    *,
    only: str = "",
    quick: bool = False,
    src: Path | None = None,
    rounds: int = 7,
    burst: float = 0.2,
    write: Path | None = None,
    report: Callable[[str], None],
) -> None:
    """Time published libraries, hand-written loops and the bare network beside ours; --write BENCHMARKS.md."""
    if quick and write is not None:
        raise SystemExit("peers: a quick run measures nothing; leave --write out, or --quick")
    bench = Bench(quick=quick, src=src, rounds=rounds, burst=burst)
    parts: list[str] = []

    def say(text: str) -> None:
        parts.append(text)
        report(text)

    say(f"Measured on: {machine()}; {_versions()}.\n")
    begun = time.perf_counter()
    found: list[Measured] = []
    with warnings.catch_warnings(), torch.random.fork_rng([]):
        torch.default_generator.manual_seed(0)
        warnings.simplefilter("ignore", UserWarning)
        for item in _items(bench, only.split(",") if only else []):
            if isinstance(item, Listing):
                say(listing_table(item))
                continue
            found.append(bench.measure(item))
            say(measured_table(found[-1]))
    ends = [] if quick else [summary(found), ratios_to_peers(found)]
    if bench.notes:
        ends.append("Left out: " + "; ".join(bench.notes) + ".\n")
    ends.append(f"All of it took {(time.perf_counter() - begun) / 60:.0f} minutes.\n")
    for text in ends:
        report(text)
    if write is not None:
        put_into(write, "\n".join([parts[0], *ends, *parts[1:]]))


def themes() -> list[str]:
    """The modules with items."""
    return sorted(module.name for module in pkgutil.iter_modules(folder.__path__))


def _items(bench: Bench, only: list[str]) -> Iterator[Item | Listing]:
    unknown = [name for name in only if name not in themes()]
    if unknown:
        raise SystemExit(f"peers: --only must name themes, got {unknown[0]!r}. One of: {', '.join(themes())}")
    for name in only or themes():
        yield from importlib.import_module(f"{folder.__name__}.{name}").items(bench)


def _versions() -> str:
    told = []
    for name in _LIBRARIES.split():
        try:
            told.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(told) or "no peer installed"
