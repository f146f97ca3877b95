"""Small files that become gigabytes, or state that they do: each is read or refused, small and quickly.

Run as a program on a folder, it reads every file there by each door that takes it, and prints what went wrong as JSON.
"""

import gzip
import inspect
import io
import json
import struct
import subprocess
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from torture.hostile_folders import peak

SECONDS, MEGABYTES = 4, 400
MEBIBYTE = 1 << 20
# Numbers that a header states.
STATED = (10**9, 10**12, 10**17)
# Imported before memory is measured, where they are installed.
PACKAGES = ("pandas", "scipy", "pyarrow.parquet", "nibabel", "xarray", "PIL.Image", "zarr", "soundfile", "pydicom",
            "rdata", "fontTools.ttLib")  # fmt: skip


# --- the files -------------------------------------------------------------------------------------------------


def zeros_by_gzip(times: int, block: bytes = bytes(MEBIBYTE)) -> bytes:
    """Members of gzip, one after the other: a thousandth of what they become."""
    return gzip.compress(block) * times


def header_of(shape: tuple[int, ...], kind: str = "<f8", by_columns: bool = False) -> bytes:
    """The header of a .npy file, with eight numbers after it."""
    out = io.BytesIO()
    np.lib.format.write_array_header_2_0(out, {"descr": kind, "fortran_order": by_columns, "shape": shape})
    return out.getvalue() + bytes(64)


def picture(side: int) -> bytes:
    """A black PNG of one bit a pixel."""
    row = bytes(1 + (side + 7) // 8)
    squeeze, packed = zlib.compressobj(1), b""
    for _ in range(side):
        packed += squeeze.compress(row)
    packed += squeeze.flush()
    parts = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)), (b"IDAT", packed), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in parts]  # fmt: skip  # noqa: E501
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def archive(place: Path, members: dict[str, bytes]) -> None:
    """A tar of these files."""
    with tarfile.open(place, "w") as tar:
        for name, data in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            tar.addfile(about, io.BytesIO(data))


def write_zipped(place: Path, names: list[str], mebibytes: int) -> None:
    """A .npz of arrays of zeros."""
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
        for name in names:
            with out.open(f"{name}.npy", "w", force_zip64=True) as stream:
                stream.write(header_of((mebibytes * MEBIBYTE // 8,))[:-64])
                for _ in range(mebibytes):
                    stream.write(bytes(MEBIBYTE))


def write_repeated(place: Path) -> None:
    """A Parquet file of one number, 200 million times, where pyarrow is installed."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        return
    block = pyarrow.table({"t": pyarrow.array(np.zeros(2_000_000)), "x": pyarrow.array(np.zeros(2_000_000))})
    with parquet.ParquetWriter(place, block.schema) as out:
        for _ in range(50):
            out.write_table(block)


def write_filled(place: Path) -> None:
    """A Zarr store of a value that is never written, where xarray and zarr are installed."""
    try:
        import xarray
        import zarr  # noqa: F401
    except ImportError:
        return
    lazy = xarray.Dataset({"a": (("time", "lat", "lon"), np.zeros((1, 2, 2), np.float32))})
    lazy.to_zarr(place, mode="w")
    for about in place.rglob("*"):
        if about.name in (".zarray", "zarr.json", ".zmetadata"):
            text = about.read_text()
            for old in ("[\n    1,\n    2,\n    2\n  ]", "[1, 2, 2]"):
                text = text.replace(old, "[40000, 2000, 2000]", 1)
            about.write_text(text)


def write_sound(place: Path) -> None:
    """A FLAC file that states two thousand million samples, where soundfile is installed."""
    try:
        import soundfile
    except ImportError:
        return
    soundfile.write(place, np.sin(np.arange(4_000)), 8_000)
    data = bytearray(place.read_bytes())
    data[22:26] = b"\x7f\xff\xff\xff"  # at the end of its first block
    place.write_bytes(bytes(data))


def write_scans(work: Path) -> None:
    """DICOM files of run lengths that state gigabytes, and of tags that are deflated zeros, where pydicom is."""
    try:
        import pydicom
    except ImportError:
        return
    for name, syntax in (
        ("lengths", pydicom.uid.RLELossless),
        ("tags", pydicom.uid.DeflatedExplicitVRLittleEndian),
    ):
        one = pydicom.Dataset()
        one.file_meta = pydicom.dataset.FileMetaDataset()
        one.file_meta.TransferSyntaxUID = syntax
        one.SOPClassUID, one.SOPInstanceUID = pydicom.uid.CTImageStorage, "1.2.3.1"
        one.Rows = one.Columns = 60_000
        one.SamplesPerPixel, one.PhotometricInterpretation, one.PixelRepresentation = 1, "MONOCHROME2", 0
        one.BitsAllocated, one.BitsStored, one.HighBit = 16, 16, 15
        if name == "lengths":
            one.PixelData = pydicom.encaps.encapsulate([bytes(64)])
            one["PixelData"].VR = "OB"
        place = work / f"{name}.dcm"
        one.save_as(place, enforce_file_format=True)
        if name == "tags":
            with place.open("rb") as stream:
                pydicom.filereader.read_preamble(stream, False)
                pydicom.filereader._read_file_meta_info(stream)
                head = place.read_bytes()[: stream.tell()]
            squeeze = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
            block = squeeze.compress(bytes(MEBIBYTE)) + squeeze.flush(zlib.Z_FULL_FLUSH)
            place.write_bytes(head + block * 400 + squeeze.flush())


def make_files(work: Path, scale: float) -> None:
    """All the files; those that take seconds to make only at full scale."""
    table = b"time,x\n" + b"0,0\n" * (1 << 18)
    for ending in ("gz", "csv.gz"):
        (work / f"zeros.{ending}").write_bytes(zeros_by_gzip(400))
    (work / "table.csv.gz").write_bytes(zeros_by_gzip(1, table) + zeros_by_gzip(300, table[7:]))
    (work / "scan.nii.gz").write_bytes(zeros_by_gzip(400))
    (work / "nested.csv.gz").write_bytes(gzip.compress(zeros_by_gzip(400)))
    for n, count in enumerate(STATED):
        (work / f"stated{n}.npy").write_bytes(header_of((count, 2)))
        archive(work / f"stated{n}.tar", {"a.npy": header_of((count, 2))})
        with zipfile.ZipFile(work / f"stated{n}.npz", "w") as out:
            out.writestr("a.npy", header_of((count, 2)))
    (work / "columns.npy").write_bytes(header_of((2, 10**12), by_columns=True))
    (work / "text.npy").write_bytes(header_of((3,), f"<U{10**9}"))
    for size in (10**9, 2**62):
        (work / f"header{size}.safetensors").write_bytes(struct.pack("<Q", size) + b"{}")
    deep = b'{"a":' * 100_000
    (work / "deep.safetensors").write_bytes(struct.pack("<Q", len(deep)) + deep)
    (work / "columns.csv").write_bytes(
        b",".join(b"c%d" % k for k in range(30_000)) + b"\n" + b"0," * 29_999 + b"0\n"
    )
    (work / "quote.csv").write_bytes(b'a,b\n"' + b"x" * 4_000_000)
    for side in (9_000, 13_000) if scale < 1 else (9_000, 13_000, 60_000):
        archive(work / f"picture{side}.tar", {"a.png": picture(side)})
    write_zipped(work / "zeros.npz", ["a"], 128)
    write_filled(work / "filled.zarr")
    write_sound(work / "stated.flac")
    write_scans(work)
    if scale >= 1:
        write_zipped(work / "many.npz", [f"a{k}" for k in range(8)], 128)
        write_zipped(work / "mesh.npz", ["points", "times", "values"], 256)
        write_repeated(work / "repeated.parquet")


# --- the doors -------------------------------------------------------------------------------------------------


def doors() -> dict[str, tuple[tuple[str, ...], Callable[[str], Any]]]:
    """Public readers by name, with the endings that they take."""
    from interpolants.apps.simulation.data import mesh_fields
    from interpolants.apps.speech.recordings import read_recording
    from interpolants.apps.trajectories.data import tracks
    from interpolants.data import catalogue, files, gridded_files, series_table
    from interpolants.data.coded_columns import read_coded
    from interpolants.data.mapped import on_disk
    from interpolants.data.medical_images import read_volume
    from interpolants.data.shards import open_shards
    from interpolants.foundations.registry import members

    own = [name for name, one in members("data").items() if "path" in inspect.signature(one).parameters]
    arrays = (".npy", ".npz", ".csv", ".safetensors", ".parquet", ".gz", ".tar")
    tables, text = (".csv", ".parquet", ".gz"), (".gz", ".csv")
    return {
        "read_array": (arrays, lambda path: files.read_array(path)),
        "read_gridded": (
            (".npy", ".npz", ".zarr"),
            lambda path: gridded_files.read_gridded(path, "who", "x", "a"),
        ),
        "read_mesh_fields": ((".npz",), lambda path: mesh_fields.read_mesh_fields(path, "who")),
        "read_series": ((".csv", ".parquet"), lambda path: series_table.read_series_table(path, "who")),
        "read_tracks": (tables, lambda path: tracks.read_tracks(path, "who")),
        "read_coded": (tables, lambda path: read_coded(path, "who")),
        "read_volume": ((".gz", ".dcm"), read_volume),
        "read_recording": ((".flac",), read_recording),
        "on_disk": ((".npy", ".parquet", ".zarr", ".tar"), lambda path: on_disk(Path(path), "who", "x")),
        "open_shards": ((".tar",), lambda path: np.asarray(open_shards(Path(path), "who")[:1])),
        **{f"load {name}": (text, lambda path, name=name: catalogue.load(name, path=path)) for name in own},
    }


def attempts(work: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Every file by every door that takes its ending."""
    for name, (endings, read) in doors().items():
        for place in sorted(work.iterdir()):
            if place.suffix in endings:
                yield f"{name}: {place.name}", lambda read=read, place=place: read(str(place))


def main(work: str) -> None:
    import warnings

    from interpolants.foundations.errors import InterpolantsError

    warnings.simplefilter("ignore")
    wrong, read, tried = [], 0, 0
    for module in PACKAGES:
        try:
            __import__(module)
        except ImportError:
            continue
    for told, attempt in attempts(Path(work)):
        tried += 1
        before, begun, fault = peak(), time.process_time(), ""
        try:
            attempt()
            read += 1
        except InterpolantsError:
            pass
        except BaseException as error:  # whatever it is, it is the finding
            fault = f"{type(error).__name__}: {str(error)[:200]}"
        seconds, more = time.process_time() - begun, peak() - before
        if fault or seconds > SECONDS or more > MEGABYTES:
            wrong.append([told, fault, round(seconds, 2), round(more)])
    print(json.dumps({"tried": tried, "wrong": wrong, "read": read}))


def attack(scale: float, work: Path) -> Any:
    """Each file by each door."""
    from torture.rows import Row

    make_files(work, scale)
    row = Row("small files that become gigabytes (400 MB, 4 s)")
    words = [sys.executable, "-m", "torture.packed_files", str(work)]
    told = subprocess.run(words, capture_output=True, text=True, check=False)
    if told.returncode:
        return row.count(harm=told.stderr[-300:])
    found = json.loads(told.stdout)
    for wrong in found["wrong"]:
        row.count(harm=str(wrong)[:300])
    for number in range(found["tried"] - len(found["wrong"])):
        row.count(refused=number >= found["read"])
    return row


if __name__ == "__main__":
    main(sys.argv[1])
