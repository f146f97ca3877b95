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
from benchmarks.peers.bench import Bench, Listing
from benchmarks.peers.page import listing_table, measured_table, put_into, ratios_to_peers, summary
from interpolants.foundations.devices import working_on

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
    device: str = "cpu",
    write: Path | None = None,
    report: Callable[[str], None],
) -> None:
    """Time published libraries, hand-written loops and the bare network beside ours; --write BENCHMARKS.md.

    Each theme is written as soon as it is measured, in the place of what stood there of it; the others stay. On another
    device than the CPU what all cases make is made there, at the price of some microseconds for each call of PyTorch.
    """
    if quick and write is not None:
        raise SystemExit("peers: a quick run measures nothing; leave --write out, or --quick")
    wanted = only.split(",") if only else themes()
    if unknown := [name for name in wanted if name not in themes()]:
        raise SystemExit(f"peers: --only must name themes, got {unknown[0]!r}. One of: {', '.join(themes())}")
    with warnings.catch_warnings(), torch.random.fork_rng([]), working_on(torch.device(device)):
        torch.default_generator.manual_seed(0)
        warnings.simplefilter("ignore", UserWarning)
        for name in wanted:
            bench = Bench(quick=quick, src=src, rounds=rounds, burst=burst)
            text = "\n".join(_told(name, bench, report))
            if write is not None:
                put_into(write, name, text)


def _told(name: str, bench: Bench, report: Callable[[str], None]) -> Iterator[str]:
    """The parts of a theme's text, each reported as soon as it is there; what they say together comes last."""
    module = importlib.import_module(f"{folder.__name__}.{name}")
    begun, found = time.perf_counter(), []
    title = (module.__doc__ or name).partition("\n")[0].rstrip(".")

    def said(text: str) -> str:
        report(text)
        return text

    yield said(f"### {title}\n\nMeasured on: {machine()}; {_versions()}.\n")
    for item in module.items(bench):
        if isinstance(item, Listing):
            yield said(listing_table(item))
            continue
        found.append(bench.measure(item))
        yield said(measured_table(found[-1]))
    if found and not bench.quick:
        yield said(summary(found))
        yield said(ratios_to_peers(found))
    if bench.notes:
        yield said("Left out: " + "; ".join(bench.notes) + ".\n")
    yield said(f"It took {(time.perf_counter() - begun) / 60:.0f} minutes.\n")


def themes() -> list[str]:
    """The modules with items."""
    return sorted(module.name for module in pkgutil.iter_modules(folder.__path__))


def _versions() -> str:
    told = []
    for name in _LIBRARIES.split():
        try:
            told.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(told) or "no peer installed"
