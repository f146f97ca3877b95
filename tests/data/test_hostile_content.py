"""What is damaged, is of another format or lies about its size is refused by name, by every reader of users' files."""

import bz2
import gzip
import inspect
import io
import lzma
import zlib
from pathlib import Path

import pytest

from hostile_content import CONTENTS, lying_arrays
from interpolants.data import catalogue
from interpolants.data.bundled import carriers
from interpolants.data.coded_columns import label_words, read_coded
from interpolants.data.files import read_array
from interpolants.data.gridded_files import read_gridded
from interpolants.data.mapped import on_disk
from interpolants.data.series_table import read_series_table
from interpolants.data.shards import open_shards
from interpolants.data.table_files import csv_frame
from interpolants.foundations import unpacking
from interpolants.foundations.errors import InterpolantsError, InvalidInputError
from interpolants.foundations.registry import members


def own_loaders():
    """Loaders of data that take a path of the user's own."""
    every = members("data").items()
    return {name: one for name, one in every if "path" in inspect.signature(one).parameters}


@pytest.mark.parametrize("name", sorted(own_loaders()))
def test_loaders_refuse_content_that_is_not_theirs(tmp_path, name):
    """As a file, and as the files of a folder, under the names that the loader looks for."""
    loader = own_loaders()[name]
    names = {Path(file.path).name for file in carriers(loader)} | {"t1.nii", "gm.nii", "wm.nii.gz"}
    for kind, content in CONTENTS.items():
        folder = tmp_path / kind
        folder.mkdir()
        for file in names:
            (folder / file).write_bytes(content)
        for place in (folder, *sorted(folder.iterdir())):
            with pytest.raises(InterpolantsError):
                catalogue.load(name, path=str(place))


READERS = {
    "array": lambda path: read_array(path),
    "gridded": lambda path: read_gridded(path, "who", "x"),
    "shards": lambda path: open_shards(Path(path), "who"),
    "on_disk": lambda path: on_disk(Path(path), "who", "x"),
}


@pytest.mark.parametrize("reader", READERS)
def test_arrays_that_lie_are_refused_by_name(tmp_path, reader):
    for file in lying_arrays(tmp_path):
        with pytest.raises(InvalidInputError):
            READERS[reader](str(file))


@pytest.mark.parametrize("read", [read_series_table, read_coded])
@pytest.mark.parametrize("kind", sorted(set(CONTENTS) - {"other", "words", "short", "zeros"}))
def test_tables_refuse_what_is_none(tmp_path, read, kind):
    (tmp_path / "a.csv").write_bytes(CONTENTS[kind])
    with pytest.raises(InvalidInputError, match=r"a\.csv"):
        read(str(tmp_path / "a.csv"), "who")


def test_labels_refuse_what_is_no_text(tmp_path):
    for kind in ("quote", "foreign"):
        (tmp_path / "a.csv").write_bytes(CONTENTS[kind])
        with pytest.raises(InvalidInputError, match=r"a\.csv"):
            label_words(tmp_path / "a.csv")


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_workspace_of_r_is_bounded(monkeypatch, pack):
    monkeypatch.setattr(unpacking, "SMALL", 1 << 20)
    with pytest.raises(InvalidInputError, match=r"air\.rda must unpack to"):
        unpacking.unpacked("who", "air.rda", pack(bytes(2 << 20)))
    with pytest.raises(InvalidInputError, match=r"air\.rda must be packed once"):
        # rdata would unpack the rest without a limit
        unpacking.unpacked("who", "air.rda", pack(gzip.compress(b"words")))
    assert unpacking.unpacked("who", "x", pack(b"words")) == b"words"


# --- scans and sound -----------------------------------------------------------------------------------------


def scan(place, **tags):
    """A DICOM picture of 4 x 4 pixels."""
    pydicom = pytest.importorskip("pydicom")
    one = pydicom.Dataset()
    one.file_meta = pydicom.dataset.FileMetaDataset()
    one.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    one.Rows = one.Columns = 4
    one.SamplesPerPixel, one.PhotometricInterpretation, one.PixelRepresentation = 1, "MONOCHROME2", 0
    one.BitsAllocated, one.BitsStored, one.HighBit = 16, 16, 15
    one.PixelData = bytes(32)
    one.PixelSpacing, one.ImageOrientationPatient = [1, 1], [1, 0, 0, 0, 1, 0]
    one.ImagePositionPatient, one.SeriesInstanceUID = [0, 0, 0], "1.2.3"
    one.SOPClassUID, one.SOPInstanceUID = pydicom.uid.CTImageStorage, "1.2.3.1"
    for name, value in tags.items():
        setattr(one, name, value)
    syntax = pydicom.uid.DeflatedExplicitVRLittleEndian if place.stem == "deflated" else None
    if syntax is not None:
        one.file_meta.TransferSyntaxUID = syntax
    if place.stem == "lengths":
        one.compress(pydicom.uid.RLELossless)
        one.Rows = one.Columns = 20_000
    one.save_as(place, enforce_file_format=True)
    return place


def stream_of_zeros(mebibytes):
    """Bare deflate."""
    squeeze = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = squeeze.compress(bytes(1 << 20)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    return block * mebibytes + squeeze.flush()


def test_scans_that_lie_about_their_pixels_are_refused(tmp_path):
    from interpolants.data.medical_images import read_volume

    assert read_volume(scan(tmp_path / "good.dcm")).values.shape == (4, 4, 1)
    assert read_volume(scan(tmp_path / "deflated.dcm")).values.shape == (4, 4, 1)
    with pytest.raises(InvalidInputError, match="must unpack to at most 100 times its size"):
        read_volume(scan(tmp_path / "lengths.dcm"))
    for tags in ({"NumberOfFrames": 10**8}, {"Rows": 60_000, "Columns": 60_000}):
        with pytest.raises(InvalidInputError, match="must unpack to at most 100 times its size"):
            read_volume(scan(tmp_path / "frames.dcm", **tags))
    with pytest.raises(InvalidInputError, match="must contain whole pictures"):
        read_volume(scan(tmp_path / "short.dcm", Rows=5))


def test_deflated_tags_of_a_scan_are_bounded(tmp_path):
    from interpolants.data.medical_images import read_volume

    pydicom = pytest.importorskip("pydicom")
    file = scan(tmp_path / "deflated.dcm")
    with file.open("rb") as stream:
        pydicom.filereader.read_preamble(stream, False)
        pydicom.filereader._read_file_meta_info(stream)
        head = file.read_bytes()[: stream.tell()]
    file.write_bytes(head + stream_of_zeros(80))
    with pytest.raises(InvalidInputError, match=r"deflated\.dcm must unpack to at most"):
        read_volume(file)


def test_a_packed_picture_of_another_size_than_its_tags_is_refused(tmp_path):
    from interpolants.data.medical_images import read_volume

    pydicom, pillow = pytest.importorskip("pydicom"), pytest.importorskip("PIL.Image")
    buffer = io.BytesIO()
    pillow.new("L", (3_000, 10)).save(buffer, "jpeg")
    file = tmp_path / "a.dcm"
    one = pydicom.dcmread(scan(file, BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=bytes(16)))
    one.file_meta.TransferSyntaxUID = pydicom.uid.JPEGBaseline8Bit
    one.PixelData = pydicom.encaps.encapsulate([buffer.getvalue()])
    one["PixelData"].VR = "OB"
    one.save_as(file)
    with pytest.raises(InvalidInputError, match="must have 4 x 4 pixels, as their tags state, got 3000 x 10"):
        read_volume(file)


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_no_table_is_read_from_an_address(monkeypatch, ending):
    from urllib import request

    asked = []
    monkeypatch.setattr(
        request, "urlopen", lambda *given, **_: asked.append(given) or io.BytesIO(b"a,b\n1,2\n")
    )
    with pytest.raises(InvalidInputError, match="No such file"):
        csv_frame("who", f"http://127.0.0.1:9/a.{ending}")
    assert asked == []
