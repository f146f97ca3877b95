"""Slices of a template: a slab far from the training part, roles that belong together, displacements that are known."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.data.image_warps import smooth_fields, warped
from interpolants.data.sets.brain_slices import GAP, SLABS, load_brain_slices
from interpolants.foundations.errors import InvalidInputError

nibabel = pytest.importorskip("nibabel")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Maps with each slice's own number for a T1 value; grey on one side, white on the other."""
    place, shape = tmp_path_factory.mktemp("maps"), (197, 233, 189)
    number = np.arange(1, 190, dtype=np.uint8)
    left = np.arange(197)[:, None, None] < 98
    for name, values in (("t1", number), ("gm", np.uint8(255) * left), ("wm", np.uint8(255) * ~left)):
        stored = np.ascontiguousarray(np.broadcast_to(values, shape))
        nibabel.save(nibabel.Nifti1Image(stored, np.eye(4)), place / f"my_{name}.nii")
    return str(place)


def numbers(x):
    """Number of the slice of each row, times gain and bias."""
    return x[:, 0, 16, 16] * 255 - 1


@pytest.mark.slow
def test_the_test_part_is_a_slab_with_a_gap_on_both_sides(folder):
    (first, last), (low, high) = SLABS["axial"]
    options = {"warp": 0.0, "copies": 1, "test_copies": 1, "path": folder}
    parts = {part: load_brain_slices(part, **options) for part in ("train", "test")}
    assert len(parts["test"].x) == high - low + 1
    assert len(parts["train"].x) == (last - first + 1) - (high - low + 1) - 2 * GAP
    mean = float(numbers(parts["test"].x).mean())  # up to shading, whose mean is about 1
    assert mean == pytest.approx((low + high) / 2, rel=0.1)


@pytest.mark.slow
def test_roles_with_other_contrasts_belong_to_the_same_rows(folder, monkeypatch):
    """Of a few slices: 14 for training and 7 for the test."""
    monkeypatch.setitem(SLABS, "axial", ((60, 90), (70, 76)))
    options = {"copies": 1, "path": folder}
    whole = load_brain_slices(contrasts=("t1", "gm", "wm", "t2", "shift_rows", "shift_columns"), **options).x
    assert_close(
        load_brain_slices("all", contrasts=("wm", "t1"), test_copies=1, **options).x[: len(whole)],
        whole[:, [2, 0]],
    )
    assert len(whole) == 14
    assert_close(load_brain_slices(contrasts=("shift_columns",), **options).x, whole[:, 5:])
    inside = whole[:, 1] + whole[:, 2] > 0.999
    assert_close(whole[:, 3][inside], (0.6 * whole[:, 1] + 0.35 * whole[:, 2])[inside], atol=1e-3, rtol=0)


@pytest.mark.slow
def test_the_right_of_the_patient_is_on_the_left(folder):
    """White matter of these maps is on the right; half of the rows are mirrored."""
    options = {"warp": 0.0, "test_copies": 2, "path": folder}
    white = load_brain_slices("test", contrasts=("wm",), planes=("coronal",), **options).x
    share = (white[..., :16].sum((1, 2, 3)) > white[..., 16:].sum((1, 2, 3))).double().mean()
    assert 0.3 < float(share) < 0.7
    sagittal = load_brain_slices("test", contrasts=("gm",), planes=("sagittal",), **options).x
    assert float(sagittal[:, 0, 16, 16].min()) > 0.99  # slices of one half alone, which is grey


def test_displacements_lead_from_the_moved_image_to_the_fixed_one(generator):
    """A linear ramp is displaced by exactly the displacement."""
    shift = smooth_fields(3, 2, 16, width=3.0, generator=generator)
    assert_close(shift.abs().amax((2, 3)), torch.ones(3, 2))
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    ramp = torch.stack([rows, columns]).expand(3, -1, -1, -1)
    moved = warped(ramp, shift)
    assert_close((moved - ramp)[..., 1:-1, 1:-1], shift[..., 1:-1, 1:-1], atol=1e-5, rtol=0)


def test_the_template_moves_by_the_displacement_that_is_told():
    pytest.importorskip("nilearn")
    x = load_brain_slices(
        "test", contrasts=("t1", "t1_moved", "shift_rows", "shift_columns"), test_copies=1
    ).x
    again = warped(x[:, :1], x[:, 2:])
    gaps = [(found - x[:, 1:2]).square().mean() for found in (again, x[:, :1], warped(x[:, :1], -x[:, 2:]))]
    assert float(gaps[0]) < 0.2 * float(gaps[1]) < 0.2 * float(gaps[2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 33}, "size must divide 224, got 33"),
        ({"contrasts": "t1"}, "contrasts must be a list of different names"),
        ({"contrasts": ("t1", "t3")}, r"contrasts must be one of .* got 't3'"),
        ({"planes": ("oblique",)}, r"planes must be one of .* got 'oblique'"),
        ({"copies": 0}, "copies must be a whole number >= 1"),
        ({"path": "nowhere"}, "path must be a folder with one NIfTI file with 't1' in its name"),
    ],
)
def test_bad_input_is_refused(options, message):
    with pytest.raises(InvalidInputError, match=message):
        load_brain_slices(**options)
