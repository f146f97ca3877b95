"""Runs: from a file of settings to a folder with a trained bridge, its numbers and its report."""

from interpolants.runs.config import RunConfig, TaskConfig, load_config, make_config
from interpolants.runs.run import InterruptedRunError, RunResult, execute

__all__ = [
    "InterruptedRunError",
    "RunConfig",
    "RunResult",
    "TaskConfig",
    "execute",
    "load_config",
    "make_config",
]
