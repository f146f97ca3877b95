"""Executor of a Ray cluster."""

import os
import pickle
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from interpolants.executors.executor import ATTEMPTS, lost
from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.foundations.kinds import Whole
from interpolants.foundations.version import __version__


@dataclass(frozen=True)
class RayCluster(Checked):
    """Workers of Ray: a cluster of its own on this machine, or one that runs already.

    A piece whose worker or node has died is run again by Ray, three times. The nodes of a cluster need this version of
    the library and of PyTorch, which every piece checks, and must see the folders of the run under the same names.
    The same bytes come out on processors of one kind.

    Raises:
        MissingExtraError: If Ray is not installed.
    """

    one_driver: ClassVar[bool] = True
    leads: ClassVar[bool] = True

    workers: Whole = 0
    """Pieces at a time; 0 for one per core of the cluster."""
    address: str = ""
    """Address of a running cluster, as ``ray start --head`` tells it, or ``"auto"``; empty for one of its own, which
    ends with the work. In a process that is connected to Ray already, that connection is used."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require("ray", by="--executor ray")

    def each(
        self, call: Callable[..., Any], items: Mapping[str, tuple[Any, ...]], *, threads: int = 0
    ) -> Iterator[tuple[str, Any]]:
        """As in :class:`Executor`."""
        ray = require("ray", by="--executor ray")
        driver = _Driver(threads or torch.get_num_threads(), os.getcwd(), tuple(sys.path), _versions())
        with self._connected(ray):
            most = self.workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
            task = ray.remote(_on_worker).options(max_retries=ATTEMPTS - 1, num_cpus=1)
            waiting = iter(items.items())
            running: dict[Any, str] = {}
            while True:
                for name, arguments in islice(waiting, most - len(running)):
                    running[task.remote(pickle.dumps((call, arguments)), driver)] = name
                if not running:
                    return
                (done, *_), _ = ray.wait(list(running), num_returns=1)
                yield running[done], _answer(ray, done, running.pop(done))

    @contextmanager
    def _connected(self, ray: Any) -> Iterator[None]:
        if ray.is_initialized():
            self._check_same(ray.get_runtime_context().gcs_address)
            yield
            return
        # Neither reports of use to Ray's makers, nor a setting that Ray has announced to change.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        quiet = {"log_to_driver": False, "logging_level": "ERROR"}
        folder = None if self.address else tempfile.mkdtemp(prefix="ray-")
        own = {"num_cpus": self.workers or None, "include_dashboard": False, "_temp_dir": folder}
        try:
            try:
                _check_reachable(self.address)
                ray.init(**quiet, **({"address": self.address} if self.address else own))
            except (OSError, RuntimeError, ValueError) as error:
                remedy = "Start one by `ray start --head`, or leave --address out."
                told = f"{self.address or 'none'}: {str(error).splitlines()[0][:200]}"
                raise invalid(
                    "--address", "the address must be that of a running Ray cluster", told, remedy
                ) from error
            yield
        finally:
            ray.shutdown()
            if folder:
                shutil.rmtree(folder, ignore_errors=True)

    def _check_same(self, connected: str) -> None:
        """Refuse to work on another cluster than the one asked for.

        Raises:
            InvalidInputError: If this process is connected to another one.
        """
        if self.address not in ("", "auto", connected):
            rule = f"this process is connected to the cluster {connected}, and must work on that one"
            raise invalid(
                "--address", rule, self.address, "Call ray.shutdown() first, or leave the address out."
            )


def _check_reachable(address: str) -> None:
    """Fail at once where nobody listens: Ray itself goes on trying for minutes.

    Raises:
        OSError: If so.
    """
    host, _, port = address.rpartition("//")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def _answer(ray: Any, done: Any, name: str) -> Any:
    """The answer of a task; what it raised is raised as it was."""
    try:
        return ray.get(done)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        raise cause if isinstance(cause, BaseException) else error from None
    except (
        ray.exceptions.WorkerCrashedError,
        ray.exceptions.NodeDiedError,
        ray.exceptions.OutOfMemoryError,
    ) as error:
        raise lost(name) from error


def _versions() -> dict[str, str]:
    return {"interpolants": __version__, "torch": str(torch.__version__), "numpy": np.__version__}


@dataclass(frozen=True)
class _Driver:
    """Circumstances of the driver, which a worker takes over."""

    threads: int
    folder: str
    path: tuple[str, ...]
    versions: dict[str, str]


def _on_worker(work: bytes, driver: _Driver) -> Any:
    """A piece on a worker; the driver has packed it, since it may be of modules that only the driver's path finds."""
    if (own := _versions()) != driver.versions:
        other = [name for name in own if own[name] != driver.versions[name]]
        told = ", ".join(f"{name} {own[name]}, not {driver.versions[name]}" for name in other)
        rule = "a worker must have the versions of the driver, or other numbers come out"
        raise invalid("--executor ray", rule, told)
    sys.path += [entry for entry in driver.path if entry not in sys.path]
    if Path(driver.folder).is_dir():
        os.chdir(driver.folder)
    torch.set_num_threads(driver.threads)
    call, arguments = pickle.loads(work)
    return call(*arguments)
