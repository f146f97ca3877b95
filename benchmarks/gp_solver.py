"""Seconds of a step of the Gaussian process solver against the size of its grid, in one and two dimensions."""

import time
import warnings
from collections.abc import Callable

from benchmarks.overhead import machine
from interpolants.foundations.tell import SettingWarning
from interpolants.pde import Manufactured
from interpolants.sciml.gp.gp_solver import GPSolver

SIZES = {1: (100, 200, 400, 800), 2: (25, 50, 100, 200)}


def run(*, steps: int = 10, report: Callable[[str], None]) -> None:
    """Time one step of Adam, with the values of its kernel, on grids of growing size."""
    report(f"Measured on: {machine()}. Processor time of a step, mean of {steps} with the last solve;")
    report("sin(20 x) on [0, 1], 30 peaks.\n")
    report("| grid | points | seconds a step | by a dense covariance of all points it would take |")
    report("| --- | ---: | ---: | ---: |")
    _seconds(Manufactured(frequency=20.0), SIZES[1][0], 1)  # what is done once in a process
    for dimension, sizes in SIZES.items():
        problem = Manufactured(frequency=20.0, dimension=dimension)
        for n in sizes:
            count = n**dimension
            told = f"{' x '.join([str(n)] * dimension)} | {count:,} | {_seconds(problem, n, steps):.3f}"
            report(f"| {told} | {8 * count**2 / 2**30:.2g} GiB |")


def _seconds(problem: Manufactured, n: int, steps: int) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SettingWarning)
        begin = time.process_time()
        GPSolver(points=n, steps=steps).fit(problem)
    return (time.process_time() - begin) / steps
