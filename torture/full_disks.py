"""Full and read-only disks under commands: one line of error, no half file, and what was there before still there."""

import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from torture.children import emptied, forked, interpolants, small_run
from torture.rows import Row


def _limited(size: int) -> Callable[[], None]:
    """A limit of the size of files: writes beyond it fail as on a full disk."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@contextmanager
def _disk(place: Path, size: int) -> Iterator[bool]:
    """A disk of so many bytes; False where none can be mounted."""
    place.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    done = shutil.which("mount") and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield bool(done)
    finally:
        if done:
            subprocess.run(["umount", str(place)], capture_output=True, check=False)


def _judge(row: Row, code: int, told: str, left: list[str], what: str) -> None:
    fault = "a traceback" if "Traceback" in told else f"left {left}" if left else ""
    row.count(refused=code != 0, harm=f"{what}: {fault}: {told[-200:]}" if fault else "")


def _left(place: Path) -> list[str]:
    return [str(f) for f in place.rglob("*") if f.name.startswith(".tmp") or f.suffix == ".part"]


def attack(scale: float, work: Path) -> Row:
    """100 commands: runs and samples on files of limited size, on small disks, and on read-only ones."""
    row = Row("full and read-only disks under commands")
    (work / "run.toml").write_text(small_run())
    given = ["run", "--config", work / "run.toml", "--quiet", "--out"]
    forked(interpolants(*given, work / "model"), work)
    for number in range(max(4, round(100 * scale))):
        size, kind = 500 * (1 + number * 7 % 40), number % 4
        ending = ("npz", "csv", "npy", "safetensors")[number // 4 % 4]
        if kind == 0:
            out = work / f"samples.{ending}"
            sample = interpolants("sample", work / "model", "-n", 20000, "--out", out, "--force", "--quiet")
            code, told = forked(sample, work, before=_limited(size))
            _judge(row, code, told, [*_left(work), *([str(out)] if code and out.exists() else [])], "sample")
        elif kind == 1:
            code, told = forked(interpolants(*given, emptied(work / "new")), work, before=_limited(size))
            _judge(row, code, told, [], "run")
        else:
            _on_a_disk(row, work, given, ending, 8 * size, read_only=kind == 3)
    return row


def _on_a_disk(row: Row, work: Path, given: list, ending: str, size: int, *, read_only: bool) -> None:
    with _disk(work / "disk", size) as mounted:
        if not mounted:
            return
        if read_only:
            remount = ["mount", "-o", "remount,ro", str(work / "disk")]
            subprocess.run(remount, capture_output=True, check=False)
        out = work / "disk" / f"samples.{ending}"
        sample = interpolants("sample", work / "model", "-n", 20000, "--out", out, "--quiet")
        code, told = forked(sample, work)
        _judge(row, code, told, [str(out)] if code and out.exists() else _left(work / "disk"), "sample")
        code, told = forked(interpolants(*given, work / "disk" / "run"), work)
        _judge(row, code, told, [], "run")
