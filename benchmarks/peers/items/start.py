"""What an import costs: seconds and memory of a fresh process."""

import subprocess
import sys
from collections.abc import Callable, Iterator

from benchmarks.peers.bench import Bench, By, Case, Item

# What a first script of each library imports.
_PEERS = {
    "torchcfm": "torchcfm.conditional_flow_matching",
    "flow_matching": "flow_matching.path, flow_matching.solver",
    "azula": "azula.denoise, azula.sample",
    "torchdeltaflow": "deltaflow",
    "torchdiffeq": "torchdiffeq",
    "torchsde": "torchsde",
    "torchdyn": "torchdyn.core",
    "diffusers": "diffusers.schedulers.scheduling_flow_match_euler_discrete",
}
# The high-water mark of Linux; that of ``resource`` counts the process that started this one too.
_REPORT = "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"


def items(bench: Bench) -> Iterator[Item]:
    """Import of torch alone, then of each library."""
    cases, memory = [], {}
    ours = {"ours": "interpolants", "ours, with all of Bridge": "interpolants.methods.bridge"}
    for name, modules in {"bare: torch": "torch", **ours, **_PEERS}.items():
        if name in _PEERS and not all(bench.peer(module) for module in modules.split(", ")):
            continue
        by: By = "bare" if name.startswith("bare") else "ours" if name.startswith("ours") else "peer"
        cases.append(Case(name, _fresh(modules), by))
        memory[name] = f"{_fresh(modules)() / 1024:.0f} MiB"
    yield Item("Import in a fresh process", cases, columns={"memory": memory}, bursts=False)


def _fresh(modules: str) -> Callable[[], int]:
    code = f"import torch, {modules}\n{_REPORT}"

    def work() -> int:
        call = [sys.executable, "-W", "ignore", "-c", code]
        return int(subprocess.run(call, capture_output=True, text=True, check=True).stdout.split()[-1])

    return work
