"""Memory of a fit to a data set that is larger than memory should be."""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

WIDTH = 64


def run(report: Callable[[str], None], *, gib: float = 4.0, steps: int = 100, limit: float = 1.0) -> None:
    """Peak of anonymous memory (RssAnon) of a fit to a mapped .npy file, above that of the imports."""
    with tempfile.TemporaryDirectory() as folder:
        file = sparse_rows(Path(folder) / "x.npy", gib)
        size = file.stat().st_size / 2**30
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.large_data", str(file), str(steps)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
    told = json.loads(done.stdout.splitlines()[-1])
    above = (told["peak"] - told["before"]) / 2**30
    report("| data | rows | steps | seconds | anonymous memory above the imports | limit |")
    report("| ---: | ---: | ---: | ---: | ---: | ---: |")
    report(
        f"| {size:.2f} GiB | {told['rows']:,} | {steps} | {told['seconds']:.0f} | {above:.3f} GiB | {limit:g} GiB |"
    )
    if above > limit:
        raise RuntimeError(f"{above:.2f} GiB of anonymous memory, more than {limit}")


def sparse_rows(file: Path, gib: float) -> Path:
    """A sparse .npy of float32 rows: every thousandth is drawn, and the others are zero."""
    rows = int(gib * 2**30) // (4 * WIDTH)
    with file.open("wb") as out:
        npy.write_array_header_1_0(out, {"descr": "<f4", "fortran_order": False, "shape": (rows, WIDTH)})
        out.truncate(out.tell() + rows * WIDTH * 4)
    mapped = np.load(file, mmap_mode="r+")
    mapped[::1000] = np.random.default_rng(0).normal(size=(len(mapped[::1000]), WIDTH))
    mapped.flush()
    return file


def anonymous() -> int:
    """RssAnon of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def _child(file: str, steps: int) -> None:
    import interpolants as itp

    small = {"net": {"kind": "mlp", "width": 64, "depth": 2}, "batch_size": 256}
    itp.Bridge("one_sided_linear", steps=2, **small).fit(
        x1=np.random.default_rng(0).normal(size=(300, 2)), progress=False
    )
    before, peak, ended = anonymous(), [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            peak[0] = max(peak[0], anonymous())

    thread = threading.Thread(target=watch)
    thread.start()
    begun = time.perf_counter()
    itp.Bridge("one_sided_linear", steps=steps, **small).fit(x1=file, progress=False)
    seconds = time.perf_counter() - begun
    ended.set()
    thread.join()
    rows = len(np.load(file, mmap_mode="r"))
    sys.stdout.write(json.dumps({"before": before, "peak": peak[0], "seconds": seconds, "rows": rows}) + "\n")


if __name__ == "__main__":
    _child(sys.argv[1], int(sys.argv[2]))
