"""Data that are not in memory: drawn afresh for every step, or read from disk as they are needed."""

import itertools
import platform
import subprocess
import sys
import textwrap
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
import torch

from data.sharded_files import archive_of, folder_of_arrays
from framework.other_device import other_device
from interpolants import Bridge
from interpolants.data import endless, mapped
from interpolants.data.endless import EndlessRows, endless_rows
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.randomness import generator
from interpolants.foundations.registry import build
from interpolants.foundations.row_access import LazyRows, some_rows, without_rows
from interpolants.foundations.tell import DataWarning
from interpolants.framework import stored
from interpolants.framework.frames import Standard, Whitened, constant_columns
from interpolants.methods.flow_map.flow_map import FlowMap

SMALL = {"net": {"kind": "mlp", "width": 8, "depth": 1}, "steps": 8, "batch_size": 16}
QUIET = {"progress": False}


def draw(n, generator):
    return 3 + torch.randn(n, 2, generator=generator)


def gaussian():
    return torch.distributions.MultivariateNormal(torch.full((2,), 3.0), torch.eye(2))


class Items(torch.utils.data.IterableDataset):
    def __init__(self, most=None):
        self.most = most

    def __iter__(self):
        for k in itertools.count() if self.most is None else range(self.most):
            yield torch.tensor([0.25 + k, 0.5 + k % 7])


def fitted(x1, path="one_sided_linear", x0=None, **options):
    given = {"x1": x1} if x0 is None else {"x0": x0, "x1": x1}
    return Bridge(path, **{**SMALL, **options.pop("settings", {})}).fit(**given, **QUIET, **options)


def same(one, other):
    return stored.fingerprint(one.learnt()["state"]) == stored.fingerprint(other.learnt()["state"])


# --- endless data


@pytest.fixture
def soon(monkeypatch):
    """Pilots are small, and an iterable is endless after a few thousand items: each is made in Python."""
    monkeypatch.setattr(endless, "PILOT", 2000)
    monkeypatch.setattr(endless, "_SHORT", 5000)


def test_the_rows_of_a_step_follow_from_the_step_alone_and_no_step_repeats_another():
    rows, _ = endless_rows(draw, "x", "x1", 0)
    late = rows.batch(40, 16)
    again, _ = endless_rows(draw, "x", "x1", 0)
    assert torch.equal(again.batch(40, 16), late)
    steps = torch.cat([again.batch(step, 16) for step in range(1, 41)])
    assert len(steps.unique(dim=0)) == 40 * 16
    assert torch.equal(steps[-16:], late)
    both = torch.cat([again.batch(3, 8, rank, 2) for rank in (0, 1)])
    assert torch.equal(both, again.batch(3, 16))
    assert len(torch.cat([steps, rows.pilot]).unique(dim=0)) == 40 * 16 + 20_000


@pytest.mark.cases(2)
@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("make", [lambda: draw, gaussian, Items, lambda: build("problem", "moons")])
def test_a_fit_of_what_draws_rows_has_the_same_bits_twice_and_after_a_resume(make, tmp_path):
    whole = fitted(make())
    assert same(fitted(make()), whole)
    assert "pilot" not in repr(vars(whole))

    def stop(stage, k, steps):
        if k == 5:
            raise KeyboardInterrupt

    more = {"settings": {"checkpoint_every": 2}}
    with pytest.raises(KeyboardInterrupt):
        fitted(make(), out=tmp_path, watch=stop, **more)
    assert same(fitted(make(), out=tmp_path, resume=True, **more), whole)


def test_training_sees_fresh_rows_and_units_and_held_out_rows_come_from_the_pilot(monkeypatch):
    seen = []
    batch = EndlessRows.batch
    monkeypatch.setattr(EndlessRows, "batch", lambda self, *a: seen.append(batch(self, *a)) or seen[-1])
    bridge = fitted(draw)
    used, held = torch.cat(seen), bridge.held_out_rows.x1
    assert len(used.unique(dim=0)) == 8 * 16
    assert len(torch.cat([held, used]).unique(dim=0)) == len(held) + 8 * 16
    assert float((bridge.frame.decode(held).mean(0) - 3).abs().max()) < 0.1
    assert float((used.mean(0)).abs().max()) < 0.4  # in units
    assert type(bridge.sample(3, seed=0)) is torch.Tensor


def test_no_copy_of_many_draws_is_made():
    most = []

    def noted(n, generator):
        most.append(n)
        return draw(n, generator)

    fitted(noted)
    assert max(most) == 20_000
    assert sum(most[-1:]) == 16 * 16


def test_both_ends_may_be_drawn_and_one_may_be_an_array():
    assert fitted(draw, "linear", x0=gaussian()).transport(torch.zeros(4, 2)).shape == (4, 2)
    x0 = torch.randn(60, 2)
    assert fitted(draw, "linear", x0=x0, settings={"coupling": "minibatch_ot"}).sample(4).shape == (4, 2)


@pytest.mark.slow
def test_a_short_iterable_is_an_array_and_a_long_one_begins_anew_behind_its_pilot():
    assert endless_rows(Items(100), "x", "x1", 0) is None
    rows, _ = endless_rows(Items(50_001), "x", "x1", 0)
    assert float(rows.pilot[-1, 0]) == 19_999.25
    first, later = rows.batch(1, 1000), rows.batch(31, 1000)
    assert first[0, 0] == 20_000.25
    assert later[0, 0] == 50_000.25  # the last, then the first behind the pilot
    assert later[1, 0] == 20_000.25
    assert torch.equal(rows.batch(1, 1000), first)  # from the start again


BAD = [
    ({"x1": draw, "cond": np.zeros(10)}, {}, "drawn afresh for every step, and has no rows"),
    ({"x1": lambda n, generator: torch.zeros(n + 1, 2)}, {}, r"must return 2 rows"),
    ({"x1": lambda n, generator: torch.full((n, 2), torch.nan)}, {}, "must be finite"),
    (
        {"x1": lambda n, generator: torch.randn(n, 2 + (5 < n < 10_000), generator=generator)},
        {},
        "keep their shape",
    ),
    ({"x0": draw, "x1": draw}, {"coupling": "paired", "path": "linear"}, "drawn afresh"),
]


@pytest.mark.parametrize(("given", "settings", "said"), BAD)
def test_draws_without_rows_are_refused(given, settings, said):
    with pytest.raises(InvalidInputError, match=said):
        Bridge(**{"path": "one_sided_linear", **SMALL, **settings}).fit(**given, **QUIET)


# --- data on disk


@pytest.fixture
def always(monkeypatch):
    """Even the smallest arrays are read row by row."""
    monkeypatch.setattr(mapped, "SMALL", 0)


def table(n=3000, width=3, dtype=np.float32, seed=0):
    source = np.random.default_rng(seed)
    mixed = source.normal(size=(n, width)) @ source.normal(size=(width, width))
    return (5 + mixed * 10.0 ** np.arange(width)).astype(dtype)


def on_disk(x, folder, kind):
    """The array in one of the forms that are read as they are needed."""
    place = folder / f"x.{kind}"
    if kind == "npy":
        np.save(place, x)
        return place
    if kind == "folder":
        return folder_of_arrays(x, place, (len(x) // 3, len(x) - len(x) // 3))
    if kind == "tar":
        return archive_of(x, place)
    if kind == "zarr":
        zarr = pytest.importorskip("zarr")
        zarr.create_array(str(place), data=x, chunks=(700, *x.shape[1:]))
        return str(place)
    pytest.importorskip("pyarrow")
    pd.DataFrame(x, columns=list("abc")[: x.shape[1]]).to_parquet(place, row_group_size=800)
    return place


@pytest.mark.cases(2)
@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("kind", ["npy", "zarr", "parquet", "folder", "tar"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_fit_from_disk_has_the_bits_of_the_array_in_memory(kind, dtype, tmp_path):
    x = table(dtype=dtype)
    found, expected = fitted(on_disk(x, tmp_path, kind)), fitted(x)
    assert same(found, expected)
    assert np.array_equal(np.asarray(found.sample(4, seed=0)), expected.sample(4, seed=0))
    if kind == "parquet":
        assert list(found.sample(4, seed=0).columns) == ["a", "b", "c"]


CASES = [
    {},
    {"path": "linear"},
    {"path": "linear", "standardize": True, "coupling": "minibatch_ot"},
    {"held_out": 0},
    {"standardize": True, "perturb": 0.1},
    {"path": "one_sided_linear", "heads": ("log_density",)},
]


@pytest.mark.cases(2)
@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("settings", CASES)
@pytest.mark.parametrize("n", [90, 70_000])
def test_the_bits_are_those_of_memory_with_few_and_many_rows(settings, n, tmp_path):
    settings = {**settings}
    path = settings.pop("path", "one_sided_linear")
    x = table(n)
    x0 = table(80, seed=1) if path == "linear" else None
    one, other = (fitted(x1, path, x0, settings=settings) for x1 in (on_disk(x, tmp_path, "npy"), x))
    assert same(one, other)


@pytest.mark.usefixtures("always")
def test_images_and_constant_columns_too(tmp_path):
    images = np.random.default_rng(0).normal(size=(300, 1, 6, 6)).astype(np.float32)
    flat = table(400)
    flat[:, 1] = 2.0
    for x, told in ((images, nullcontext()), (flat, pytest.warns(DataWarning, match="constant"))):
        with told:
            assert same(fitted(np.load(on_disk(x, tmp_path, "npy"), mmap_mode="r")), fitted(x))


@pytest.mark.slow
@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("kind", ["npy", "folder", "tar"])
def test_a_run_from_disk_resumes_and_knows_other_data(kind, tmp_path):
    x = table()
    place = on_disk(x, tmp_path, kind)
    whole = fitted(place, out=tmp_path / "run")
    assert same(fitted(place, out=tmp_path / "run", resume=True), whole)
    x[-1, -1] += 1
    with pytest.raises(InvalidInputError, match="another data"):
        fitted(on_disk(x, tmp_path, kind), out=tmp_path / "run", resume=True)


@pytest.mark.usefixtures("always")
def test_a_flow_map_streams_too(tmp_path):
    def flow_map(x1):
        return FlowMap(path="one_sided_linear", **SMALL).fit(x1=x1, **QUIET)

    x = table()
    assert same(flow_map(on_disk(x, tmp_path, "npy")), flow_map(x))
    drawn = flow_map(draw)
    assert same(flow_map(draw), drawn)
    assert float((drawn.frame.shift - 3).abs().max()) < 0.1


@pytest.mark.usefixtures("always")
def test_what_cannot_be_read_is_refused(tmp_path):
    x = table()
    x[2000, 1] = np.nan
    with pytest.raises(InvalidInputError, match="first in row 2000"):
        fitted(on_disk(x, tmp_path, "npy"))
    with pytest.raises(InvalidInputError, match="must exist"):
        fitted(tmp_path / "no.npy")
    with pytest.raises(InvalidInputError, match="must end in"):
        fitted(str(tmp_path / "x.csv"))
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    with pytest.raises(InvalidInputError, match="whole Parquet file"):
        fitted(tmp_path / "bad.parquet")
    np.save(tmp_path / "whole.npy", np.arange(10, dtype=np.uint8))
    with pytest.raises(InvalidInputError, match="floating point"):
        fitted(tmp_path / "whole.npy")


def test_moments_in_pieces_are_those_of_all_rows(monkeypatch):
    x = torch.as_tensor(table(5000, dtype=np.float64))
    x[::7, 1] = torch.nan
    expected = Standard().fit(x)
    constant = constant_columns(x)
    monkeypatch.setattr("interpolants.foundations.row_access.pieces.__defaults__", (100,))
    found = Standard().fit(x)
    torch.testing.assert_close(found.shift, expected.shift, rtol=1e-13, atol=0)
    torch.testing.assert_close(found.scale, expected.scale, rtol=1e-13, atol=0)
    seen = x[~x.isnan().any(1)]
    torch.testing.assert_close(Standard().fit(seen).scale, seen.std(0), rtol=1e-12, atol=0)
    assert torch.equal(constant_columns(x), constant)
    encoded = Whitened().fit(seen).encode(seen)
    torch.testing.assert_close(encoded.T @ encoded / len(seen), torch.eye(3).double(), rtol=0, atol=1e-2)


def test_rows_left_and_rows_chosen_are_all_rows_once():
    source = generator(0, "test of some rows")
    away = some_rows(100_000, 2_000, source)
    assert len(away.unique()) == 2_000
    all_rows = torch.arange(100_000.0)[:, None]
    left = without_rows(all_rows, away)
    assert torch.equal(torch.cat([left, all_rows[away]]).flatten().sort().values, all_rows.flatten())
    lazy = without_rows(LazyRows(lambda rows: all_rows[rows], all_rows.shape, all_rows.dtype), away)
    assert torch.equal(lazy[:], left)
    assert torch.equal(lazy[500:70_000], left[500:70_000])
    index = torch.randint(len(left), (300,), generator=source)
    assert torch.equal(lazy[index], left[index])


# --- another device


@pytest.mark.usefixtures("always", "soon")
@pytest.mark.parametrize("kind", [draw, Items, "npy"])
def test_streams_on_another_device_have_the_bits_of_the_cpu(kind, tmp_path):
    x1 = on_disk(table(), tmp_path, kind) if kind == "npy" else kind() if kind is Items else kind
    settings = {"optimizer": "rmsprop"}
    expected = fitted(x1, settings=settings)
    with other_device() as name:
        assert same(fitted(x1, settings={**settings, "device": name}), expected)


# --- memory

MEMORY = """
    import ctypes, sys, threading
    import numpy as np
    import interpolants as itp

    libc = ctypes.CDLL(None)
    class Info(ctypes.Structure):
        names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
        _fields_ = list(zip(names, [ctypes.c_size_t] * len(names)))
    libc.mallinfo2.restype = Info

    def allocated():
        info = libc.mallinfo2()
        return (info.uordblks + info.hblkhd) / 2**20

    most, done = [0.0], threading.Event()
    def watch():
        while not done.wait(0.001):
            most[0] = max(most[0], allocated())

    settings = {"net": {"kind": "mlp", "width": 16, "depth": 1}, "steps": 20, "batch_size": 256}
    itp.Bridge("one_sided_linear", **settings).fit(x1=np.random.default_rng(0).normal(size=(500, 16)), progress=False)
    before = allocated()
    watcher = threading.Thread(target=watch); watcher.start()
    bridge = itp.Bridge("one_sided_linear", **settings).fit(x1=sys.argv[1], progress=False)
    done.set(); watcher.join()
    print(most[0] - before)
"""


def memory_of_a_fit(folder, mib):
    """What a fit to a file of so many MiB has allocated at most, in MiB: the resident size depends on the system."""
    rows, place = mib * 2**20 // 64, folder / f"{mib}.npy"
    source = np.random.default_rng(0)
    x = np.lib.format.open_memmap(place, "w+", np.float32, (rows, 16))
    some = source.normal(size=(2**16, 16)).astype(np.float32)
    for start in range(0, rows, 2**16):
        x[start : start + 2**16] = some[: rows - start] * (1 + start / rows)
    del x
    command = [sys.executable, "-c", textwrap.dedent(MEMORY), str(place)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    place.unlink()
    print(f"{mib} MiB on disk: {float(done.stdout):.0f} MiB in memory")
    return float(done.stdout)


glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="asks glibc what is allocated")


@glibc
@pytest.mark.slow
@pytest.mark.parametrize("mib", [96, 1024])
def test_a_fit_from_disk_takes_the_same_memory_however_long_the_file_is(mib, tmp_path):
    assert memory_of_a_fit(tmp_path, mib) < 80
