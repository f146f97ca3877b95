"""Scans of one's own: boxes of known place in files of another program, parts that share no head, refusals."""

import re

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.medical.data.scan_slices import _first_of_test, load_scan_slices, prepared
from interpolants.data.medical_images import read_volume
from interpolants.foundations.errors import InvalidInputError

nibabel = pytest.importorskip("nibabel")


def write(place, values, spacing=(1.0, 1.0, 1.0)):
    nibabel.save(nibabel.Nifti1Image(values, np.diag([*spacing, 1.0])), place)


def scan(number, shape=(32, 48, 30)):
    """Intensities up to 1000, and a box at the patient's right and front that has label 2."""
    g = np.random.default_rng(number)
    values = g.integers(0, 1000, shape).astype(np.int16)
    labels = np.zeros(shape, dtype=np.uint8)
    labels[24:, 36:] = 2
    return values, labels


@pytest.fixture
def folder(tmp_path):
    """Two patients, pixels of 3 x 2 mm, so that both sides of a slice are 96 mm."""
    for k in range(2):
        values, labels = scan(k)
        write(tmp_path / f"p{k}.nii.gz", values, (3.0, 2.0, 5.0))
        write(tmp_path / f"p{k}_mask.nii.gz", labels, (3.0, 2.0, 5.0))
    (tmp_path / "notes.txt").write_text("no scan")
    return tmp_path


def test_whole_patients_are_the_test_and_masks_lie_on_their_scans(folder):
    channels = ("label_2", "mask", "image")
    train, test = (
        load_scan_slices(part, path=str(folder), channels=channels, size=16) for part in ("train", "test")
    )
    assert train.x.shape == test.x.shape == (30, 3, 16, 16)
    assert (set(train.labels.tolist()), set(test.labels.tolist())) == ({0}, {1})
    box = torch.zeros(16, 16)
    box[:4, :4] = 1  # the front is on top, the patient's right on the left; a quarter of each side
    assert_close(test.x[:, 0], box.expand(30, -1, -1))
    assert_close(test.x[:, 1], test.x[:, 0])
    assert_close(test.x[:, 2:], prepared(read_volume(folder / "p1.nii.gz"), size=16))
    assert float(test.x[:, 2].mean()) == pytest.approx(0.5, abs=0.02)


def test_of_an_only_scan_the_test_is_a_slab_away_from_the_training(tmp_path):
    values = np.broadcast_to(np.arange(100, dtype=np.float32), (16, 16, 100))
    write(tmp_path / "head.nii", np.ascontiguousarray(values))
    parts = [load_scan_slices(part, path=str(tmp_path), size=8).x[:, 0, 0, 0] for part in ("train", "test")]
    number = [(x * 98 * 99 / 99 + 1).round() for x in parts]  # percentiles of 0 .. 99 are 0.99 and 98.01
    assert len(number[1]) == 20
    assert float((number[0][:, None] - number[1]).abs().min()) > 5


def test_narrow_slices_are_filled_and_not_stretched(tmp_path):
    values = np.zeros((16, 32, 2), dtype=np.float32)
    values[:, :, 1] = 100.0
    write(tmp_path / "narrow.nii", values)
    x = load_scan_slices("all", path=str(tmp_path), size=16, test=0.5, gap=0).x
    full = x[x.mean((1, 2, 3)) > 0.1]
    assert_close(full[0, 0].mean(0) / full.max(), torch.tensor([0.0] * 4 + [1.0] * 8 + [0.0] * 4))


def broken(change):
    """A folder in which one file of the two patients is another one."""

    def write_it(folder):
        values, labels = scan(1)
        change(folder, values, labels)
        return lambda: load_scan_slices("all", path=str(folder), channels=("image", "mask"), size=16)

    return write_it


SPACING = (3.0, 2.0, 5.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, v, m: (f / "p1_mask.nii.gz").unlink(), "every scan must have its mask.*p1 without a mask"),
        (lambda f, v, m: (f / "p0.nii.gz").unlink(), "p0 without a scan"),
        (
            lambda f, v, m: write(f / "p1_mask.nii.gz", m[:, :40], SPACING),
            r"must have the shape of p1.nii.gz, \(32, 48, 30\), got \(32, 40, 30\)",
        ),
        (
            lambda f, v, m: write(f / "p1_mask.nii.gz", m, (3.0, 2.0, 4.0)),
            "must have the spacing of p1.nii.gz, 3 x 2 x 5 mm, got 3 x 2 x 4 mm",
        ),
        (
            lambda f, v, m: write(f / "p1_mask.nii.gz", (m / 3).astype(np.float32), SPACING),
            "must contain whole numbers >= 0",
        ),
        (
            lambda f, v, m: write(f / "p1.nii.gz", np.where(m > 0, np.nan, v).astype(np.float32), SPACING),
            "must be finite, got 2880 voxels of NaN or infinity",
        ),
        (lambda f, v, m: write(f / "p1.nii.gz", 0 * v, SPACING), "intensities of .* must vary"),
        (lambda f, v, m: (f / "p1.nii.gz").write_bytes(b"no scan"), "must be a whole NIfTI file"),
    ],
)
def test_what_does_not_belong_together_is_refused(folder, change, message):
    asked = broken(change)(folder)
    with pytest.raises(InvalidInputError, match=message):
        asked()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": ["masks"]}, "every channel must be image, mask, or label_1"),
        ({"channels": "image"}, "channels must be a list of names"),
        ({"channels": ["label_1"]}, r"label_1 must be a label of some mask, got labels 2. Use channels=\["),
        ({"size": 64}, "must have at least 64 pixels along each side, got 48 x 32"),
        ({"plane": "axiall"}, "plane must be one of"),
        ({"path": "nowhere"}, "path must be a folder with scans, got nowhere"),
    ],
)
def test_bad_arguments_are_refused(folder, options, message):
    with pytest.raises(InvalidInputError, match=message):
        load_scan_slices("all", **{"path": str(folder), **options})


def test_a_mask_elsewhere_is_refused_and_one_turned_on_the_same_place_is_not(folder):
    _, labels = scan(1)
    affine = np.diag([3.0, 2.0, 5.0, 1.0])
    before = load_scan_slices("test", path=str(folder), channels=("mask",), size=16).x
    turned = affine @ np.array([[-1.0, 0, 0, 31], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(labels[::-1].copy(), turned), folder / "p1_mask.nii.gz")
    assert_close(load_scan_slices("test", path=str(folder), channels=("mask",), size=16).x, before)
    affine[0, 3] = 12.0
    nibabel.save(nibabel.Nifti1Image(labels, affine), folder / "p1_mask.nii.gz")
    with pytest.raises(
        InvalidInputError,
        match=r"p1_mask.nii.gz must lie where p1.nii.gz does.* a corner at \(0, 0, 0\) mm, got \(12, 0",
    ):
        load_scan_slices("test", path=str(folder), channels=("mask",), size=16)


def test_scans_of_one_subject_are_on_one_side(tmp_path):
    names = ["sub-01_ses-1", "sub-01_ses-2", "sub-02_ses-1", "sub-02_ses-2", "sub-02_ses-3"]
    for k, name in enumerate(names):
        write(tmp_path / f"{name}_T1w.nii", scan(k, (8, 8, 8))[0])
    train, test = (load_scan_slices(part, path=str(tmp_path), size=8).labels for part in ("train", "test"))
    assert (set(train.tolist()), set(test.tolist())) == ({0, 1}, {2, 3, 4})
    for name in names[:2]:
        (tmp_path / f"{name}_T1w.nii").unlink()
    with pytest.raises(InvalidInputError, match="several subjects, to have a test, got 3 of sub-02"):
        load_scan_slices("train", path=str(tmp_path), size=8)


def test_a_mask_that_is_tilted_against_its_scan_is_refused(folder):
    _, labels = scan(1)
    affine, c, s = np.diag([3.0, 2.0, 5.0, 1.0]), np.cos(0.2), np.sin(0.2)  # 11 degrees about the first voxel
    turn = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(labels, turn @ affine), folder / "p1_mask.nii.gz")
    with pytest.raises(InvalidInputError, match=r"p1_mask.nii.gz must lie where p1.nii.gz does"):
        load_scan_slices("test", path=str(folder), channels=("mask",), size=16)
    values, _ = scan(1)
    nibabel.save(
        nibabel.Nifti1Image(values, turn @ affine), folder / "p1.nii.gz"
    )  # both are: slices of the scanner
    assert load_scan_slices("test", path=str(folder), channels=("mask",), size=16).x.shape == (30, 1, 16, 16)


def test_a_dicom_series_and_its_mask_in_nifti_belong_together(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    from data.test_medical_images import VALUES, dicom

    assert pydicom
    (tmp_path / "ct").mkdir()
    big = np.kron(VALUES, np.ones((4, 4, 1), dtype=np.float32))
    for k in range(6):
        picture = big[::-1, ::-1, k].T.astype(np.uint16)
        tags = {"Rows": 20, "Columns": 16, "PixelData": picture.tobytes(), "PixelSpacing": [2.0, 2.0]}
        dicom(tmp_path / "ct" / f"{k}.dcm", k, **tags, ImagePositionPatient=[-30.0, -38.0, 3.0 * k])
    # As converters write it: the voxels of DICOM, x and y to the left and the back, with an affine that says so.
    labels = np.zeros((16, 20, 6), dtype=np.uint8)
    labels[:4, :5] = 1  # at the patient's right and front
    affine = np.diag([-2.0, -2.0, 3.0, 1.0])
    affine[:3, 3] = [30.0, 38.0, 0.0]
    nibabel.save(nibabel.Nifti1Image(labels, affine), tmp_path / "ct_mask.nii.gz")
    x = load_scan_slices("all", path=str(tmp_path), channels=("label_1", "image"), size=10, gap=0).x
    box = torch.zeros(10, 10)
    box[:2, 1:3], box[2, 1:3] = 1, 0.5  # front on top, right on the left, a column of filling; 4 mm a pixel
    assert_close(x[:, 0], box.expand(6, -1, -1))
    affine[1, 3] += 2.0
    nibabel.save(nibabel.Nifti1Image(labels, affine), tmp_path / "ct_mask.nii.gz")
    with pytest.raises(InvalidInputError, match="must lie where ct does"):
        load_scan_slices("all", path=str(tmp_path), channels=("label_1",), size=10, gap=0)


def test_the_least_share_leaves_the_last_subject_for_the_test():
    subjects = [re.match(".+", name) for name in ("a", "b", "b", "c")]
    assert _first_of_test("who", subjects, 1e-9) == 3
    assert _first_of_test("who", subjects, 0.5) == 1
