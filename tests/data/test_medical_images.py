"""Volumes of NIfTI and DICOM files: one orientation however they are stored."""

import itertools

import numpy as np
import pytest

from interpolants.data.files import read_array
from interpolants.data.medical_images import Volume, read_volume
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import AssumptionWarning

nibabel = pytest.importorskip("nibabel")
pydicom = pytest.importorskip("pydicom")
SHAPE, STEP = (4, 5, 6), (1.0, 2.0, 3.0)
VALUES = np.arange(120, dtype=np.float32).reshape(
    SHAPE
)  # along x to the right, y to the front, z to the head


def nifti(place, order, signs):
    """The same scan stored along other axes and in other directions."""
    stored, affine = VALUES.transpose(order), np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, (world, sign) in enumerate(zip(order, signs, strict=True)):
        stored = np.flip(stored, axis) if sign < 0 else stored
        affine[world, axis] = sign * STEP[world]
    nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(stored), affine), place)
    return place


def test_every_way_of_storing_a_nifti_file_gives_the_same_volume(tmp_path):
    for order in itertools.permutations(range(3)):
        for signs in ((1, 1, 1), (-1, 1, -1), (1, -1, -1)):
            found = read_volume(nifti(tmp_path / "scan.nii.gz", order, signs))
            assert np.array_equal(found.values, VALUES)
            assert found.spacing == STEP


def test_pictures_have_the_patients_right_on_the_left_and_head_or_front_on_top():
    """One bright voxel at the right, the front and the head."""
    values = np.zeros(SHAPE, dtype=np.float32)
    values[3, 4, 5] = 1
    volume = Volume(values, STEP)
    for plane, shape, pixel in (
        ("axial", (6, 5, 4), (2.0, 1.0)),
        ("coronal", (5, 6, 4), (3.0, 1.0)),
        ("sagittal", (4, 6, 5), (3.0, 2.0)),
    ):
        pictures = volume.slices(plane)
        assert pictures.shape == shape
        assert volume.pixel(plane) == pixel
        assert np.argwhere(pictures).tolist() == [[shape[0] - 1, 0, 0]]


def test_slices_of_a_file_are_rows_like_those_of_other_files(tmp_path):
    scan = nifti(tmp_path / "scan.nii.gz", (0, 1, 2), (1, 1, 1))
    found = read_array(scan)
    assert np.array_equal(found.x[:, 0].numpy(), Volume(VALUES, STEP).slices("axial"))
    assert found.notes == ("Axial slices in the radiological view, intensities as stored, 0 to 119.",)
    assert read_array(scan, key="sagittal").x.shape == (4, 1, 6, 5)


def dicom(place, k, *, direction=(1, 0, 0, 0, 1, 0), series="1.2.3", **tags):
    """One axial slice of VALUES, as scanners write it: rows from front to back, columns from right to left."""
    one = pydicom.Dataset()
    one.file_meta = pydicom.dataset.FileMetaDataset()
    one.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    picture = VALUES[::-1, ::-1, k].T.astype(np.uint16)
    one.Rows, one.Columns = picture.shape
    one.SamplesPerPixel, one.PhotometricInterpretation, one.PixelRepresentation = 1, "MONOCHROME2", 0
    one.BitsAllocated, one.BitsStored, one.HighBit = 16, 16, 15
    one.PixelData = picture.tobytes()
    one.PixelSpacing, one.ImageOrientationPatient = [STEP[1], STEP[0]], list(direction)
    one.ImagePositionPatient = [0, 0, STEP[2] * k]
    one.RescaleSlope, one.RescaleIntercept, one.SeriesInstanceUID = 2, -1000, series
    one.SOPClassUID, one.SOPInstanceUID = pydicom.uid.CTImageStorage, f"1.2.3.{k + 1}"
    for name, value in tags.items():
        setattr(one, name, value)
    one.save_as(place, enforce_file_format=True)


def test_a_dicom_series_is_sorted_by_position_turned_and_rescaled(tmp_path):
    for k, name in enumerate("fbdaec"):
        dicom(tmp_path / name, k)
    found = read_volume(tmp_path)
    assert np.array_equal(found.values, 2 * VALUES - 1000)
    assert found.spacing == STEP


@pytest.mark.parametrize(
    ("direction", "normal"), [((1, 0, 0, 0, 1, 0), (0, 0, 1)), ((1, 0, 0, 0, 0, -1), (0, 1, 0))]
)
def test_a_dicom_series_is_the_volume_of_simpleitk(tmp_path, direction, normal):
    """Axial and coronal slices, with axes to the right, to the front and to the head; one step is 3 mm."""
    itk = pytest.importorskip("SimpleITK")
    for k, name in enumerate("fbdaec"):
        position = [3.0 * k * axis for axis in normal]
        dicom(tmp_path / name, k, direction=direction, ImagePositionPatient=position)
    files = itk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path))
    image = itk.DICOMOrient(itk.ReadImage(files), "RAS")
    found = read_volume(tmp_path)
    assert np.array_equal(found.values, itk.GetArrayFromImage(image).transpose(2, 1, 0))
    assert found.spacing == pytest.approx(image.GetSpacing())


def test_a_ct_slice_that_comes_with_pydicom_is_in_hounsfield_units():
    from pydicom.data import get_testdata_file

    found = read_volume(get_testdata_file("CT_small.dcm", download=False))
    raw = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
    assert found.values.shape == (128, 128, 1)
    picture = found.slices("axial")[0]  # the scanner's own view: nothing is turned over
    assert np.array_equal(picture, raw.pixel_array * raw.RescaleSlope + raw.RescaleIntercept)
    assert found.spacing[2] == raw.SliceThickness


def test_what_would_come_out_wrong_is_refused(tmp_path):
    oblique = np.diag([1.0, 1, 1, 1])
    oblique[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    nibabel.save(nibabel.Nifti1Image(VALUES, oblique), tmp_path / "oblique.nii")
    gaps = np.where(VALUES == 7, np.nan, VALUES)
    nibabel.save(nibabel.Nifti1Image(gaps, np.eye(4)), tmp_path / "gaps.nii")
    nibabel.save(nibabel.Nifti1Image(np.stack([VALUES] * 2, 3), np.eye(4)), tmp_path / "series.nii")
    (tmp_path / "text.dcm").write_text("no scan")
    for name, rule in (
        ("oblique.nii", "axes of .* must lie along the patient's, got a share of 0.36 across"),
        ("gaps.nii", "must be finite, got 1 voxels"),
        ("series.nii", "must have three axes"),
        ("text.dcm", r"text.dcm must be NIfTI \(.nii, .nii.gz\) or DICOM"),
        ("none.nii", "path must be a file or a folder"),
    ):
        with pytest.raises(InvalidInputError, match=rule):
            read_volume(tmp_path / name)
    (tmp_path / "uneven").mkdir()
    for k in (0, 1, 4):
        dicom(tmp_path / "uneven" / str(k), k)
    with pytest.raises(InvalidInputError, match="must be evenly spaced"):
        read_volume(tmp_path / "uneven")
    (tmp_path / "two").mkdir()
    dicom(tmp_path / "two" / "a", 0)
    dicom(tmp_path / "two" / "b", 1, series="1.2.4")
    with pytest.raises(InvalidInputError, match="must contain one series, got 2 of SeriesInstanceUID"):
        read_volume(tmp_path / "two")
    from pydicom.data import get_testdata_file

    with pytest.raises(InvalidInputError, match="must have pixel data"):
        read_volume(get_testdata_file("rtplan.dcm", download=False))


def saved(place, values, affine=None, **header):
    image = nibabel.Nifti1Image(values, np.diag([*STEP, 1.0]) if affine is None else affine)
    for name, value in header.items():
        getattr(image.header, name)(value)
    nibabel.save(image, place)
    return place


def test_files_of_other_types_versions_and_units_give_the_same_volume(tmp_path):
    for k, kind in enumerate((np.uint16, np.float64, np.int32, ">f4")):
        assert np.array_equal(
            read_volume(saved(tmp_path / f"{k}.nii.gz", VALUES.astype(kind))).values, VALUES
        )
    for place in (
        saved(tmp_path / "five.nii", VALUES[..., None, None]),
        saved(tmp_path / "microns.nii", VALUES, np.diag([1000.0, 2000, 3000, 1]), set_xyzt_units="micron"),
    ):
        found = read_volume(place)
        assert np.array_equal(found.values, VALUES)
        assert np.allclose(found.spacing, STEP)
    nibabel.save(nibabel.Nifti2Image(VALUES, np.diag([*STEP, 1.0])), tmp_path / "two.nii")
    assert np.array_equal(read_volume(tmp_path / "two.nii").values, VALUES)


def test_voxels_that_are_no_numbers_and_files_that_are_cut_off_are_refused_by_name(tmp_path):
    colour = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    saved(tmp_path / "colour.nii", colour), saved(tmp_path / "phase.nii", VALUES.astype(np.complex64))
    whole = saved(tmp_path / "whole.nii", VALUES).read_bytes()
    (tmp_path / "cut.nii").write_bytes(whole[:-20])
    packed = saved(tmp_path / "whole.nii.gz", VALUES).read_bytes()
    (tmp_path / "cut.nii.gz").write_bytes(packed[:-20])
    skew = np.diag([1.0, 1, 1, 1])
    skew[0, 2] = 0.25
    saved(tmp_path / "skew.nii", VALUES, skew)
    for name, rule in (
        ("colour.nii", "must be real numbers"),
        ("phase.nii", "must be real numbers, got complex64"),
        ("cut.nii", "cut.nii must be a whole NIfTI file"),
        ("cut.nii.gz", "cut.nii.gz must be a whole NIfTI file"),
        ("skew.nii", "must be at right angles .* got 76 degrees"),
    ):
        with pytest.raises(InvalidInputError, match=rule):
            read_volume(tmp_path / name)


def test_what_a_file_does_not_tell_of_its_place_is_said(tmp_path):
    image = nibabel.Nifti1Image(VALUES, np.diag([*STEP, 1.0]))
    image.set_sform(None, 0), image.set_qform(None, 0)
    nibabel.save(image, tmp_path / "untold.nii")
    with pytest.warns(AssumptionWarning, match="untold.nii does not tell .* left and right may be swapped"):
        assert read_volume(tmp_path / "untold.nii").spacing == STEP
    dicom(
        tmp_path / "plate.dcm",
        2,
        ImageOrientationPatient=None,
        PixelSpacing=None,
        ImagerPixelSpacing=[0.2, 0.1],
    )
    with pytest.warns(AssumptionWarning, match="taken for an axial slice, as stored"):
        found = read_volume(tmp_path / "plate.dcm")
    assert found.pixel() == (0.2, 0.1)
    assert np.array_equal(found.slices()[0], 2 * VALUES[::-1, ::-1, 2].T - 1000)


@pytest.mark.parametrize(
    ("tags", "rule"),
    [
        (
            lambda k: {"ImageOrientationPatient": None},
            "must have the tag ImageOrientationPatient, got 2 of 2 without",
        ),
        (
            lambda k: {"ImagePositionPatient": None},
            "must have the tag ImagePositionPatient, got 2 of 2 without",
        ),
        (lambda k: {"PixelSpacing": None}, "must have the tag PixelSpacing"),
        (lambda k: {"PixelSpacing": [2.0 + k, 1.0]}, "must have one PixelSpacing, got 2 different ones"),
        (lambda k: {"direction": (1, 0, 0, 0, 1 - k, -k)}, "must have one ImageOrientationPatient"),
        (lambda k: {"ImagePositionPatient": [0, 0.5 * k, 3.0 * k]}, "right angles .* a tilted gantry"),
        (
            lambda k: {"PhotometricInterpretation": "PALETTE COLOR"},
            "must be grey and of one frame, got PALETTE",
        ),
    ],
)
def test_slices_that_make_no_volume_are_refused(tmp_path, tags, rule):
    for k in range(2):
        dicom(tmp_path / str(k), k, **tags(k))
    with pytest.raises(InvalidInputError, match=rule):
        read_volume(tmp_path)


def test_a_slice_beside_the_line_of_the_others_is_refused(tmp_path):
    for k in range(3):
        dicom(tmp_path / str(k), k, ImagePositionPatient=[2.0 * (k == 1), 0, 3.0 * k])
    with pytest.raises(InvalidInputError, match="must lie one behind the other, got one 2 mm beside"):
        read_volume(tmp_path)


def test_where_small_values_are_white_they_are_turned_over(tmp_path):
    tags = {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 12, "HighBit": 11}
    for k in range(6):
        dicom(tmp_path / str(k), k, **tags, RescaleSlope=1, RescaleIntercept=0)
    assert np.array_equal(read_volume(tmp_path).values, 4095 - VALUES)
