"""Operators: plain sums and matrices as second routes, pseudo-inverses by Moore and Penrose, gradients, refusals."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.registry import names
from interpolants.operators import (
    Blur,
    Downsample,
    Identity,
    KSpaceLines,
    Mask,
    Matrix,
    Measurement,
    PhaseRetrieval,
    Rotated,
    Saturate,
    as_matrix,
    as_operator,
    check_measurement,
)

F64 = torch.float64
SHAPE = (2, 4, 6)
KNOWN = torch.rand(SHAPE, generator=torch.Generator().manual_seed(3)) > 0.5
TABLE = torch.randn(7, 48, dtype=F64, generator=torch.Generator().manual_seed(4))
OPERATORS = {
    "mask": Mask(KNOWN),
    "downsample": Downsample(2),
    "blur": Blur.gaussian(0.6),
    "phase_retrieval": PhaseRetrieval(),
    "saturate": Saturate(),
    "matrix": Matrix(TABLE, SHAPE),
    "rotated": Rotated(Mask(KNOWN), torch.tensor([[0.6, 0.8], [-0.8, 0.6]], dtype=F64)),
    "rotated_whole": Rotated(Mask(KNOWN), torch.linalg.qr(torch.cat([TABLE] * 7)[:48] + torch.eye(48)).Q),
    "k_space_lines": KSpaceLines([1, 2, 3], 4),
    "identity": Identity(),
    "measurement": Measurement(lambda x: x.square()),
}
LINEAR = {name: operator for name, operator in OPERATORS.items() if operator.is_linear}


@pytest.fixture
def x(generator):
    return torch.randn(5, *SHAPE, dtype=F64, generator=generator)


def test_every_card_of_the_family_is_under_these_laws():
    assert set(names("operator")) == set(OPERATORS) - {"rotated_whole"}


@pytest.mark.parametrize("name", OPERATORS)
def test_rows_do_not_mix_and_types_are_kept(name, x):
    operator = OPERATORS[name]
    y = operator(x)
    assert_close(y[1:3], operator(x[1:3]))
    assert y.dtype == F64
    assert operator(x.float()).dtype == torch.float32
    if operator.has_pinv:
        assert operator.pinv(y).shape == x.shape
        assert operator.pinv(y.float()).dtype == torch.float32


@pytest.mark.parametrize("name", OPERATORS)
def test_gradients_pass(name, x):
    operator = OPERATORS[name]
    assert torch.autograd.gradcheck(operator, (x[:2].requires_grad_(True),))
    check_measurement("who", operator, x, operator(x).detach())


@pytest.mark.parametrize("name", LINEAR)
def test_a_linear_operator_is_its_matrix(name, x):
    operator = LINEAR[name]
    matrix = as_matrix(operator, SHAPE)
    assert_close(operator(x).flatten(1), x.flatten(1) @ matrix.mT)


@pytest.mark.parametrize("name", LINEAR)
def test_the_pseudo_inverse_is_moore_and_penroses(name, x):
    operator = LINEAR[name]
    y = operator(x)
    wanted = y.flatten(1) @ torch.linalg.pinv(as_matrix(operator, SHAPE)).mT
    assert_close(operator.pinv(y).flatten(1), wanted)
    assert_close(operator(operator.pinv(y)), y)


def test_a_mask_picks_the_known_entries_in_order(x):
    assert torch.equal(Mask(KNOWN)(x)[2], x[2][KNOWN])
    assert torch.equal(Mask(KNOWN).pinv(Mask(KNOWN)(x)), torch.where(KNOWN, x, 0.0))


def test_downsampling_takes_means_of_blocks(x):
    y = Downsample(2)(x)
    assert_close(y[3, 1, 0, 2], x[3, 1, :2, 4:].mean())
    assert Downsample(3)(torch.arange(6.0)[None]).tolist() == [[1.0, 4.0]]


@pytest.mark.parametrize("shape", [(3, 3), (2, 5), (4, 6), (5, 9)])
def test_blur_is_a_sum_over_shifts_on_a_torus(shape, x, generator):
    kernel = torch.randn(shape, dtype=F64, generator=generator)
    wanted = torch.zeros_like(x)
    for i, row in enumerate(kernel):
        for j, value in enumerate(row):
            wanted += value * x.roll((i - shape[0] // 2, j - shape[1] // 2), (2, 3))
    assert_close(Blur(kernel)(x), wanted)


def test_a_gaussian_kernel_is_alike_in_all_directions_and_falls_by_its_width():
    """Of products over the axes only a Gaussian depends on the distance alone: (3, 4) and (5, 0) are equally far."""
    kernel = Blur.gaussian(2.0).kernel
    middle = len(kernel) // 2
    assert_close(kernel[middle + 3, middle + 4], kernel[middle + 5, middle])
    assert_close(kernel[middle, middle - 2] / kernel[middle, middle], torch.tensor(-0.5, dtype=F64).exp())


def test_a_gaussian_blur_keeps_constants_and_loses_what_it_cut(x):
    blur = Blur.gaussian(1.5)
    assert_close(blur(torch.ones_like(x)), torch.ones_like(x))
    y = blur(x)
    # Frequencies below the cut are gone; the rest fits.
    assert float((blur(blur.pinv(y)) - y).abs().max()) < 1e-3 * float(y.abs().max())
    line = Blur.gaussian(0.7, axes=1)
    assert line(torch.randn(3, 9)).shape == (3, 9)


def test_magnitudes_obey_parseval_and_are_blind_to_sign_and_mirror(x):
    y = PhaseRetrieval()(x)
    assert y.shape == (5, 2, 8, 12)
    assert_close(y.square().sum((2, 3)), x.square().sum((2, 3)))
    assert_close(PhaseRetrieval()(-x), y)
    assert_close(PhaseRetrieval()(x.flip((2, 3))), y)
    assert_close(PhaseRetrieval(pad=0)(x.roll(1, 3)), PhaseRetrieval(pad=0)(x))
    assert not torch.allclose(PhaseRetrieval()(x.roll(1, 3)), y)


def test_grey_values_are_means_over_channels_times_the_root_of_their_number(generator):
    x = torch.randn(4, 3, 2, 5, dtype=F64, generator=generator)
    grey = Rotated.grey((3, 2, 5))
    assert_close(grey(x), (x.mean(1) * 3**0.5).flatten(1))
    assert_close(grey.pinv(grey(x)), x.mean(1, keepdim=True).expand_as(x))
    assert_close(grey.rotation[0], torch.full((3,), 3**-0.5, dtype=F64))
    assert_close(Rotated.grey((1, 2, 2)).rotation, torch.eye(1, dtype=F64))


def test_saturation_clips(x):
    y = Saturate(gain=3.0, low=-0.5, high=0.8)(torch.tensor([[-1.0, 0.1, 1.0]]))
    assert_close(y, torch.tensor([[-0.5, 0.3, 0.8]]))
    assert_close(Saturate(gain=3.0).pinv(y), y / 3)


@pytest.mark.parametrize("name", OPERATORS)
def test_no_rows_are_measured_as_none(name, x):
    operator = OPERATORS[name]
    y = operator(x)
    assert operator(x[:0]).shape == y[:0].shape
    if operator.has_pinv:
        assert operator.pinv(y[:0]).shape == x[:0].shape


def test_a_function_is_an_operator(x):
    operator = as_operator("who", torch.exp)
    assert_close(operator(x), x.exp())
    assert not operator.has_pinv
    assert Measurement(torch.exp, torch.log).pinv(x.exp()).allclose(x)
    assert as_operator("who", TABLE).is_linear
    assert as_operator("who", operator) is operator


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mask(torch.ones(3)), "Mask: known must be a bool tensor, got torch.float32"),
        (
            lambda: Mask(torch.zeros(3, dtype=torch.bool)),
            "known must be True for at least one entry, got False everywhere",
        ),
        (lambda: Mask(KNOWN)(torch.zeros(2, 5)), r"Mask: states must have shape .* got \(2, 5\)"),
        (
            lambda: Rotated(Mask(KNOWN), torch.eye(2) * 1.01),
            r"Rotated: rotation must be orthogonal, \|Q Q\^T - Id\| <= 1e-4, got 0.028",
        ),
        (
            lambda: Rotated(Mask(KNOWN), torch.ones(2, 3)),
            r"rotation must be a floating-point \(N, N\), got .*\(2, 3\)",
        ),
        (
            lambda: Rotated(Mask(KNOWN), torch.eye(5))(torch.zeros(1, *SHAPE)),
            r"states must have 5 channels or entries like the rotation, got \(2, 4, 6\)",
        ),
        (lambda: Downsample(4)(torch.zeros(1, 6)), r"spatial sizes must be multiples of 4, got \(6,\)"),
        (lambda: Downsample(2)(torch.zeros(6)), r"samples must have shape \(N, \*D\)"),
        (lambda: Blur(torch.tensor([torch.nan])), "Blur: kernel must be finite"),
        (lambda: Blur(torch.ones(3))(torch.zeros(1, 1, 4, 4)), "one axis for each of the 2 spatial axes"),
        (lambda: Blur(torch.ones(3), smallest=1.0), r"smallest must lie in \[0, 1\), got 1.0"),
        (lambda: Blur.gaussian(0.0), "width must be finite and > 0, got 0.0"),
        (lambda: PhaseRetrieval().pinv(torch.zeros(1, 4)), "PhaseRetrieval: it must have a pseudo-inverse"),
        (lambda: Saturate(low=1.0, high=1.0), "low must be < high"),
        (lambda: Matrix(torch.ones(3)), "Matrix: matrix must be a floating-point"),
        (lambda: Matrix(TABLE, (5, 5)), "event_shape must have 48 entries"),
        (lambda: Measurement(3), "Measurement: function must be callable, got int"),
        (lambda: as_operator("who", 3), "who: operator must be an Operator, a matrix or a function, got int"),
        (lambda: as_matrix(PhaseRetrieval(), (4,)), "PhaseRetrieval: it must be linear to have a matrix"),
    ],
)
def test_what_breaks_a_rule_is_refused(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()


@pytest.mark.parametrize(
    ("operator", "y", "message"),
    [
        (Saturate(), torch.zeros(2, 3), r"who: y must have the shape of H\(x\), \(B, 4\), got \(2, 3\)"),
        (Saturate(), torch.zeros(4), r"y must have the shape of H\(x\)"),
        (Saturate(), torch.zeros(0, 4), r"who: y must have at least one measurement, got \(0, 4\)"),
        (Saturate(), torch.full((1, 4), torch.nan), "y must be finite"),
        (Saturate(), torch.zeros(2, 4, dtype=torch.long), "y must be a floating-point tensor"),
        (Measurement(lambda x: x.detach()), torch.zeros(2, 4), "who: H must be differentiable"),
        (Measurement(lambda x: x.sign().long()), torch.zeros(2, 4), "who: H must be differentiable"),
    ],
)
def test_measurements_that_do_not_fit_are_refused(operator, y, message):
    with pytest.raises(InvalidInputError, match=message):
        check_measurement("who", operator, torch.zeros(2, 4), y)
