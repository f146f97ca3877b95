"""Scores of images against scikit-image, sums by hand and maps whose Jacobian is known."""

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.metrics.image_scores import dice, end_point_error, folding, psnr, ssim


def test_signal_to_noise_and_similarity_are_those_of_scikit_image(generator):
    theirs = pytest.importorskip("skimage.metrics")
    truth = torch.rand(3, 2, 24, 20, dtype=torch.float64, generator=generator)
    x = truth + 0.2 * torch.randn(truth.shape, dtype=torch.float64, generator=generator)
    for k in range(3):
        a, b = truth[k].numpy(), x[k].numpy()
        assert float(psnr(x, truth, span=2.0)[k]) == pytest.approx(
            theirs.peak_signal_noise_ratio(a, b, data_range=2.0)
        )
        options = {"gaussian_weights": True, "use_sample_covariance": False, "channel_axis": 0}
        expected = theirs.structural_similarity(a, b, data_range=2.0, **options)
        assert float(ssim(x, truth, span=2.0)[k]) == pytest.approx(expected, abs=1e-9)


def test_noise_of_a_tenth_of_the_span_is_at_twenty_decibels():
    truth = torch.zeros(1, 1, 4, 4)
    assert float(psnr(truth + 0.1, truth)) == pytest.approx(20.0)
    assert float(psnr(truth + 0.1, truth, span=10.0)) == pytest.approx(40.0)


def test_overlap_of_labels_by_hand():
    a = torch.tensor([[1, 1, 1, 0, 2], [0, 0, 0, 0, 0]])
    b = torch.tensor([[1, 1, 0, 1, 2], [0, 0, 0, 0, 0]])
    found = dice(a, b, 1)
    assert float(found[0]) == pytest.approx(2 * 2 / (3 + 3))
    assert bool(found[1].isnan())
    assert dice(a, b, 2)[0] == 1
    with pytest.raises(InvalidInputError, match="labels must be whole numbers"):
        dice(a.float(), b, 1)


def test_end_point_errors_are_lengths_over_the_points_that_count():
    truth = torch.zeros(1, 2, 2, 3)
    shift = truth.clone()
    shift[0, :, 0, 0] = torch.tensor([3.0, 4.0])
    assert float(end_point_error(shift, truth)) == pytest.approx(5 / 6)
    where = torch.zeros(1, 2, 3, dtype=torch.bool)
    where[0, 0, :2] = True
    assert float(end_point_error(shift, truth, where)) == pytest.approx(5 / 2)
    with pytest.raises(InvalidInputError, match="some point of each image must count"):
        end_point_error(shift, truth, torch.zeros_like(where))


def test_images_without_points_that_count_have_no_share_of_folds():
    where = torch.ones(2, 6, 5, dtype=torch.bool)
    where[1] = False
    with pytest.raises(InvalidInputError, match="folding: some point of each image must count"):
        folding(torch.zeros(2, 2, 6, 5), where)
    with pytest.raises(
        InvalidInputError, match=r"folding: where must have shape \(2, 6, 5\), got \(2, 1, 6, 5\)"
    ):
        folding(torch.zeros(2, 2, 6, 5), where[:, None])


def test_folds_are_counted_over_the_points_that_count():
    rows = torch.arange(6.0)[:, None].expand(6, 5)
    shift = torch.stack([torch.where(rows < 3, 0.0, -2 * rows), torch.zeros(6, 5)])[None]
    where = torch.zeros(1, 6, 5, dtype=torch.bool)
    where[0, 0] = where[0, 5, :2] = True  # five points at rest, two that fold
    assert float(folding(shift, where)) == pytest.approx(2 / 7)


def test_linear_maps_fold_where_their_determinant_is_negative():
    rows, columns = torch.meshgrid(torch.arange(6.0), torch.arange(5.0), indexing="ij")
    for matrix, folds in (
        ([[-0.5, 0.0], [0.0, 0.5]], 0.0),
        ([[-1.5, 0.0], [0.0, 0.5]], 1.0),
        ([[0.0, 2.0], [2.0, 0.0]], 1.0),  # det(1 2; 2 1) = -3
        ([[0.0, 2.0], [-2.0, 0.0]], 0.0),  # det(1 2; -2 1) = 5
    ):
        shift = torch.stack([a * rows + b * columns for a, b in matrix])[None]
        assert float(folding(shift)) == folds


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: psnr(x, x[:1]), r"both must have one shape .* got \(2, 1, 8, 8\) and \(1, 1, 8, 8\)"),
        (lambda x: psnr(x, x, span=0.0), "span must be finite and > 0"),
        (lambda x: ssim(x, x, window=4), "window must be odd"),
        (lambda x: ssim(x, x), r"window must be a whole number in \[3, 8\], got 11"),
        (lambda x: folding(x), r"shift must have shape \(N, 2, H, W\)"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InvalidInputError, match=message):
        call(torch.zeros(2, 1, 8, 8))
