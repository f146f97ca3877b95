"""Shared fixtures, one thread per xdist worker, and a watch on torch's global state."""

import gc
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

# Two workers with two threads each would fight for two cores. The variable must be set before torch is
# imported, and is inherited by the processes that tests start.
ON_WORKER = "PYTEST_XDIST_WORKER" in os.environ
if ON_WORKER:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

import changed
from interpolants.foundations import cards
from interpolants.foundations.card_file import Card
from plugins import write_distribution

if ON_WORKER:
    torch.set_num_threads(1)

STARTED = time.monotonic()

# Metadata of a distribution whose entry point names the package `rooms`.
ROOMS = Path(__file__).parent / "rooms" / "installed"


NO_TIME = "no time left"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--at-most``, which ends a long run on time."""
    parser.addoption(
        "--at-most",
        type=float,
        metavar="SECONDS",
        help="start no test later than this; files come in another order for every commit, so that each has its turn",
    )
    parser.addoption(
        "--changed", metavar="COMMIT", help="the tests alone that changes since a commit can reach"
    )


def pytest_configure(config: pytest.Config) -> None:
    """With ``--changed``, find what is reached once: xdist gives the options to its workers."""
    if config.getoption("changed", None) and not hasattr(config.option, "reached"):
        uses, files = changed.Uses(), changed.since(config.option.changed)
        package = any(name.startswith(("src/", "recipes/", "docs/")) for name in files)
        config.option.reached = uses.reached(files)
        config.option.ranging = uses.ranging if package else set()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With ``--changed``, import no test file that is not reached."""
    if not hasattr(config.option, "reached") or collection_path.is_dir():
        return None
    name = collection_path.relative_to(config.rootpath).as_posix()
    return True if name not in config.option.reached | config.option.ranging else None


def _reached(item: pytest.Item) -> bool:
    """Whether a case of a law over all cards is about a member that uses what changed."""
    if item.nodeid.partition("::")[0] in item.config.option.reached:
        return True
    given = item.callspec.params.values() if hasattr(item, "callspec") else ()
    homes = [
        f"src/{one.entry.partition(':')[0].replace('.', '/')}.py" for one in given if isinstance(one, Card)
    ]
    return all(home in item.config.option.reached for home in homes)


def _leave_cases_to_the_slow_run(items: list[pytest.Item]) -> None:
    """Mark all but ``count`` cases of a test marked ``cases(count)`` as slow; the ones kept are evenly spread."""
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("cases"):
            groups.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for group in groups.values():
        (count,) = group[0].get_closest_marker("cases").args
        kept = {round(k * (len(group) - 1) / max(count - 1, 1)) for k in range(count)}
        for k, item in enumerate(group):
            if k not in kept:
                item.add_marker(pytest.mark.slow)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out cases that ``--changed`` does not reach; with ``--at-most``, put the files into an order of the commit.

    The order is the same in every worker.
    """
    _leave_cases_to_the_slow_run(items)
    if hasattr(config.option, "reached"):
        kept = [item for item in items if _reached(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
        items[:] = kept
    if config.getoption("at_most", None) is not None:
        git = ["git", "-C", str(config.rootpath), "rev-parse", "HEAD"]
        commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout
        items.sort(key=lambda item: zlib.crc32((commit + item.nodeid.partition("::")[0]).encode()))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what ``--at-most`` leaves no time for."""
    at_most = item.config.getoption("at_most", None)
    if at_most is not None and time.monotonic() - STARTED > at_most:
        pytest.skip(NO_TIME)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests ``--at-most`` left out."""
    skipped = terminalreporter.stats.get("skipped", [])
    if left := sum(NO_TIME in str(report.longrepr) for report in skipped):
        terminalreporter.write_line(f"{left} tests were not started: {NO_TIME}")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect without the garbage collector, which would take a third of the time: nothing of it is garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.fixture
def generator() -> torch.Generator:
    """A generator on the CPU, seeded with 0."""
    return torch.Generator().manual_seed(0)


@pytest.fixture
def float64() -> Iterator[None]:
    """Make float64 the default type for one test; ask for it by name, it is off otherwise."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture
def install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str, dict[str, str]], None]]:
    """Install a distribution with cards, of one package and its files; gone after the test."""
    made = []

    def installed(package: str, files: dict[str, str]) -> None:
        made.append(package)
        write_distribution(tmp_path, package, files)
        monkeypatch.syspath_prepend(tmp_path)
        cards.refresh()

    yield installed
    monkeypatch.undo()
    cards.refresh()
    for module in [module for module in sys.modules if module.partition(".")[0] in made]:
        del sys.modules[module]


@pytest.fixture(scope="module")
def rooms() -> Iterator[None]:
    """Install the toy members of ``tests/rooms`` for the tests of a module."""
    sys.path.insert(0, str(ROOMS))
    cards.refresh()
    yield
    sys.path.remove(str(ROOMS))
    cards.refresh()


@pytest.fixture(autouse=True)
def global_state_is_left_alone(request: pytest.FixtureRequest) -> Iterator[None]:
    """Start every test from its own global seed, and fail it if global settings changed meanwhile.

    Drawing from the global generator is allowed: the initial weights of a network do. Seeding it is not, and
    neither is changing the default type or device, the number of threads, or switching gradients off. The
    seed comes from the test's name, so a result does not depend on which tests ran before it.
    """
    # `torch.manual_seed` would seed every accelerator too, at the price of a stack trace per call.
    torch.default_generator.manual_seed(zlib.crc32(request.node.nodeid.encode()))
    before = _global_state()
    yield
    after = _global_state()
    changed = {name: (before[name], after[name]) for name in before if before[name] != after[name]}
    if changed:
        torch.set_default_dtype(before["dtype"])
        torch.set_default_device(before["device"])
        torch.set_num_threads(before["threads"])
        torch.set_grad_enabled(before["grad"])
        pytest.fail(f"global torch state changed (before, after): {changed}")


def _global_state() -> dict:
    return {
        "seed": torch.initial_seed(),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "threads": torch.get_num_threads(),
        "grad": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }
