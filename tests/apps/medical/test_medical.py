"""Classical rules and questions about images on cases whose numbers are known."""

from typing import Any

import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.medical.classical_prediction import ClassicalPrediction
from interpolants.apps.medical.classical_restoration import ClassicalRestoration
from interpolants.apps.medical.lesions import KINDS, with_lesions
from interpolants.apps.medical.prediction_questions import (
    ContrastTranslation,
    DiffusionClassification,
    DisplacementQuality,
    TissueSegmentation,
)
from interpolants.apps.medical.restoration_questions import _unit, anomaly_map, image_restoration
from interpolants.data.image_warps import smooth_fields, warped
from interpolants.fields.protocol import Fields
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.randomness import generator
from interpolants.framework.answers import Ensemble
from interpolants.framework.capabilities import capability
from interpolants.framework.frames import Standard
from interpolants.framework.method import Method
from interpolants.framework.questions import ask
from interpolants.framework.role import Role
from interpolants.framework.task import Split, Task
from interpolants.operators import Mask
from interpolants.paths import OneSidedLinear
from interpolants.problems import GaussianMixture, LinearGaussian

F64 = torch.float64
pytest.importorskip("skimage")
pytest.importorskip("sklearn")


def heads(n, size=24, seed=0):
    """Discs of tissue with smooth texture, dark outside."""
    line = torch.arange(size) - (size - 1) / 2
    disc = line[:, None].square() + line.square() < (0.42 * size) ** 2
    texture = smooth_fields(n, 1, size, width=2.0, generator=generator(seed))
    return (0.6 + 0.3 * texture) * disc


# --- restoration


def test_the_gaussian_rule_is_the_conditional_mean_of_its_two_moments(generator):
    x = torch.randn(300, 1, 2, 3, dtype=F64, generator=generator) @ torch.randn(
        3, 3, dtype=F64, generator=generator
    )
    known = torch.tensor([[[True, False, True], [False, True, True]]])
    rule = ClassicalRestoration("gaussian", operator=Mask(known), noise=0.3).fit(images=x)
    prior = GaussianMixture(
        torch.ones(1, dtype=F64), rule.state["mean"].reshape(1, 6), rule.state["covariance"][None]
    )
    y = torch.randn(5, 4, dtype=F64, generator=generator)
    exact = LinearGaussian(Mask(known.flatten()), 0.09, prior).posterior_mean(y)
    assert_close(rule.restore(y).x[:, 0].flatten(1), exact)
    assert_close(rule.state["covariance"].diagonal(), x.flatten(1).var(0), rtol=0.02, atol=0)


@pytest.mark.parametrize("rule", ["gaussian", "shortest", "mean"])
def test_measurements_of_another_operator_are_refused(rule, generator):
    x = torch.randn(40, 1, 4, 4, generator=generator)
    found = ClassicalRestoration(rule, operator={"kind": "downsample", "factor": 2}).fit(images=x)
    assert found.restore(x[:3, :, ::2, ::2]).x.shape == (3, 1, 1, 4, 4)
    with pytest.raises(InvalidInputError, match=r"the shape of H\(x\), \(B, 1, 2, 2\), got \(3, 1, 4, 4\)"):
        found.restore(x[:3])


def test_components_bring_back_what_they_span_and_the_mean_is_the_mean(generator):
    x = torch.randn(40, 1, 1, 1, dtype=F64, generator=generator) * torch.ones(1, 1, 4, 4, dtype=F64) + 2
    rule = ClassicalRestoration("principal", components=1).fit(images=x)
    off = torch.tensor([1.0, -1.0], dtype=F64).repeat(8).reshape(1, 1, 4, 4)  # across the one direction
    assert_close(rule.restore(x[:3] + off).x[:, 0], x[:3])
    mean = rule.clone().set_params(rule="mean").fit(images=x)
    assert_close(mean.restore(x[:2]).x[:, 0], x.mean(0).expand(2, -1, -1, -1))


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["total_variation", "nl_means"])
def test_rules_take_noise_off_with_a_strength_chosen_on_training_images(rule):
    x, test = heads(30), heads(6, seed=1)
    found = ClassicalRestoration(rule, noise=0.1).fit(images=x)
    y = test + 0.1 * torch.randn(test.shape, generator=generator(2))
    before, after = ((z - test).square().mean() for z in (y, found.restore(y).x[:, 0]))
    assert float(after) < 0.5 * float(before)
    weak = ClassicalRestoration(rule, noise=0.01).fit(images=x)
    assert weak.state["strength"] <= found.state["strength"]


@pytest.mark.slow
def test_hidden_pixels_are_filled_from_beside_and_seen_ones_kept():
    x = heads(8)
    known = torch.rand(1, 24, 24, generator=generator(3)) < 0.7
    lines = Mask(known)
    errors = [
        (
            ClassicalRestoration(rule, operator=lines, noise=0.01).fit(images=x).restore(lines(x)).x[:, 0] - x
        ).norm()
        for rule in ("shortest", "total_variation")
    ]
    assert float(errors[1]) < 0.4 * float(errors[0])


@pytest.mark.parametrize("rule", ["total_variation", "nl_means", "gaussian"])
@pytest.mark.parametrize("unit", [1e-6, 1e3])
def test_restored_images_move_with_their_units(rule, unit):
    x, test = heads(20, size=12).double(), heads(4, size=12, seed=1).double()
    y = test + 0.1 * torch.randn(test.shape, generator=generator(2), dtype=F64)
    plain = ClassicalRestoration(rule, noise=0.1).fit(images=x).restore(y).x
    moved = ClassicalRestoration(rule, noise=0.1 * unit).fit(images=unit * x).restore(unit * y).x
    assert_close(moved / unit, plain, rtol=0, atol=1e-2)


def test_the_gaussian_of_a_single_image_is_refused():
    with pytest.raises(InvalidInputError, match="at least two images, got 1"):
        ClassicalRestoration("gaussian").fit(images=heads(1))


@pytest.mark.parametrize("rule", ["polynomial", "logistic"])
@pytest.mark.parametrize(
    ("unit", "zero"), [(1.0, 0.0), (1e-6, 0.0), (1e6, 0.0), (1.0, 1e4), (2000.0, -1000.0)]
)
def test_rules_by_pixel_know_a_curve_and_a_threshold_in_any_units(rule, unit, zero, generator):
    x = torch.rand(6, 1, 12, 12, dtype=F64, generator=generator)
    y = x**2 if rule == "polynomial" else (x > 0.5).double()
    found = ClassicalPrediction(rule).fit(x1=y, cond=unit * x + zero)
    drawn = found.sample(6, cond=unit * x + zero)
    if rule == "polynomial":
        assert_close(drawn, y, rtol=0, atol=1e-4)
    else:
        assert float(((drawn > 0.5) == (y > 0.5)).double().mean()) > 0.98


def test_a_label_that_no_pixel_has_is_never_answered(generator):
    x = torch.rand(4, 1, 8, 8, dtype=F64, generator=generator)
    y = torch.cat([(x > 0.5).double(), torch.zeros_like(x)], 1)
    drawn = ClassicalPrediction("logistic").fit(x1=y, cond=x).sample(4, cond=x)
    assert float(((drawn[:, :1] > 0.5) == (x > 0.5)).double().mean()) > 0.98
    assert float(drawn[:, 1].max()) == 0
    nothing = ClassicalPrediction("logistic").fit(x1=torch.zeros_like(y), cond=x).sample(4, cond=x)
    assert float(nothing.abs().max()) == 0


@pytest.mark.parametrize("rule", ["otsu", "k_means"])
def test_classes_of_brightness_do_not_depend_on_where_zero_is(rule, generator):
    levels = torch.tensor([0.0, 0.4, 0.7, 1.0], dtype=F64).repeat_interleave(16).reshape(1, 1, 8, 8)
    x = levels + 0.01 * torch.randn(1, 1, 8, 8, dtype=F64, generator=generator)
    y = torch.cat([levels == 0.7, levels == 1.0], 1).double()
    for image in (x, 2000 * x - 1000, x + 1e4):
        drawn = ClassicalPrediction(rule).fit(x1=y, cond=image).sample(1, cond=image)
        assert float((drawn == y).double().mean()) > 0.97
    beside = torch.cat([x, x.flip(-1, -2)], 1)  # the first channel counts
    drawn = ClassicalPrediction(rule).fit(x1=y, cond=beside).sample(1, cond=beside)
    assert float((drawn == y).double().mean()) > 0.97
    empty = torch.full((1, 1, 8, 8), 3.0, dtype=F64)
    assert float(ClassicalPrediction(rule).fit(x1=y, cond=x).sample(1, cond=empty).abs().max()) == 0
    two = (levels > 0.5).double()
    with pytest.raises(InvalidInputError, match="more than 2 intensities, to tell 3 classes, got 1"):
        ClassicalPrediction(rule).fit(x1=y, cond=x).sample(1, cond=two)


@pytest.mark.parametrize("unit", [1e-6, 1e3])
def test_optical_flow_does_not_depend_on_the_unit(unit):
    rows, columns = torch.meshgrid(*(torch.arange(32.0, dtype=F64),) * 2, indexing="ij")
    blob = [torch.exp(-((rows - 16 - k).square() + (columns - 16).square()) / 30) for k in (0, 2)]
    images = unit * torch.stack(blob)[None]
    found = (
        ClassicalPrediction("optical_flow")
        .fit(x1=torch.zeros_like(images), cond=images)
        .sample(1, cond=images)
    )
    assert_close(found[0, :, 18, 16], torch.tensor([2.0, 0.0], dtype=F64), rtol=0, atol=0.25)


class Knowing(Method):
    """Gives what it was fitted on, with an error of its own for each image and a spread of the draws."""

    error: float = 0.0
    spread: float = 0.0

    def roles(self):
        return (Role(name="images", axis="images"),)

    def learn(self, data, run):
        return {"images": data["images"]}

    @capability(reads={"observed": Role(name="observed")})
    def restore(self, observed: Any, *, draws: int = 1, seed: int = 0) -> Ensemble:
        """The truth, with errors."""
        x = self.state["images"][:, None]
        common = self.error * torch.randn(x.shape, generator=generator(seed, "common error"))
        own = torch.randn(len(x), draws, *x.shape[2:], generator=generator(seed, "own error"))
        return Ensemble(x=x + common + self.spread * own)


def restoration_task(x, **question):
    task = Task.of([Role(name="images", axis="images")], {"images": x}, Split(by="none"))
    return task, lambda method, kind: ask(kind(**question), method.fit(images=x), task)


def test_restorations_are_scored_as_their_errors_are():
    _, asked = restoration_task(heads(24), draws=4)
    truth = asked(Knowing(), image_restoration)
    assert truth["misfit"].value == pytest.approx(1.0, abs=0.02)
    off = asked(Knowing(error=0.1, spread=0.1), image_restoration)
    assert off["spread_over_error"].value == pytest.approx(1.0, abs=0.03)
    nothing = asked(ClassicalRestoration("shortest"), image_restoration)
    assert nothing["psnr"].value == pytest.approx(20.0, abs=0.1)
    assert nothing["misfit"].value == pytest.approx(0.0, abs=1e-6)


def test_lesions_are_found_by_who_knows_the_image_and_not_by_brightness():
    x = heads(16)
    changed, where = with_lesions(x, generator=generator(4))
    assert bool(((changed != x)[:, 0] <= where).all())
    for k, kind in enumerate(KINDS * 4):
        gain = (changed - x)[k, 0][where[k]]
        assert kind == "swapped" or bool((gain > 0).all()) == (kind == "bright")
    _, asked = restoration_task(x, draws=1)
    assert asked(Knowing(), anomaly_map)["auroc"].value > 0.95
    brightness = asked(ClassicalRestoration("nothing"), anomaly_map)
    assert brightness["bright"].value > 0.75
    assert brightness["dark"].value < 0.35
    assert brightness["auroc"].value < 0.7


@pytest.mark.parametrize("seed", range(3))
def test_a_swapped_lesion_is_another_place_turned_by_a_right_angle_and_not_mirrored(seed):
    """Every pixel has a value of its own, which tells where it was taken from."""
    image = torch.arange(1.0, 1025.0).reshape(32, 32) / 1024
    image[10:22, 10:22] += 9.0  # the head: lesions and their sources do not reach the edge
    k = KINDS.index("swapped")
    changed, where = with_lesions(image.expand(k + 1, 1, 32, 32), generator=generator(seed))
    values = changed[k, 0][where[k]]
    taken = torch.stack([(image == value).nonzero()[0] for value in values]).double()
    place = torch.cat([where[k].nonzero().double(), torch.ones(len(taken), 1, dtype=F64)], 1)
    turn = torch.linalg.lstsq(place, taken).solution
    assert_close(place @ turn, taken)
    assert_close(turn[:2] @ turn[:2].T, torch.eye(2, dtype=F64))
    assert_close(torch.linalg.det(turn[:2]), torch.tensor(1.0, dtype=F64))
    assert_close(turn[:2].diagonal(), torch.zeros(2, dtype=F64))


# --- answers to images


def given(x1, images, question, rule, **settings):
    roles = ClassicalPrediction("zero").roles()
    task = Task.of(roles, {"x1": x1, "cond": images}, Split(by="none"))
    return ask(question, ClassicalPrediction(rule, **settings).fit(x1=x1, cond=images), task)


def test_a_polynomial_of_the_intensity_is_told_exactly():
    x = heads(6)
    told = given(1 - x + 0.5 * x**3, x, ContrastTranslation(draws=1), "polynomial", degree=3)
    assert told["psnr"].value > 60
    less = given(1 - x + 0.5 * x**3, x, ContrastTranslation(draws=1), "polynomial", degree=1)
    assert less["psnr"].value < 50


@pytest.mark.parametrize("rule", ["otsu", "k_means", "logistic"])
def test_classes_of_known_brightness_are_found(rule):
    level = (3 * torch.rand(4, 1, 16, 16, generator=generator(5))).long() + 1
    images = 0.3 * level + 0.02 * torch.randn(level.shape, generator=generator(6))
    images[:, :, :3] = 0.0
    level[:, :, :3] = 0
    x1 = torch.cat([images, (level == 2).float(), (level == 3).float()], 1)
    found = given(x1, images, TissueSegmentation(draws=1), rule, labels=[1, 2])
    assert found["grey_dice"].value > 0.99
    assert found["white_dice"].value > 0.99


def test_displacements_lead_from_the_second_image_to_the_first():
    images, shift = heads(5, size=32), smooth_fields(5, 2, 32, width=6.0, generator=generator(7))
    pairs = torch.cat([warped(images, shift), images], 1)
    still = given(shift, pairs, DisplacementQuality(draws=1), "zero")
    head = images[:, 0] > 0.05
    expected = torch.stack([shift[k].norm(dim=0)[head[k]].mean() for k in range(5)]).mean()
    assert still["end_point_error"].value == pytest.approx(float(expected), rel=1e-5)
    flow = given(shift, pairs, DisplacementQuality(draws=1), "optical_flow")
    assert flow["end_point_error"].value < 0.5 * still["end_point_error"].value
    assert flow["psnr"].value > still["psnr"].value + 3


class TwoClasses(Method):
    """Exact fields of N(-m, Id) and N(m, Id), by label."""

    def roles(self):
        return Role(name="x1", axis="x1"), Role(name="cond", kind="condition", axis="x1")

    def learn(self, data, run):
        return {"mean": torch.tensor(0.25)}

    frame = Standard()

    @property
    def fields(self):
        return _ByLabel(float(self.state["mean"]))

    @capability(like="x1")
    def sample(self, n: int, *, cond: Any = None) -> torch.Tensor:
        """Not asked."""
        raise NotImplementedError


class _ByLabel(Fields):
    def __init__(self, mean):
        self.mean, self.path = mean, OneSidedLinear(base=Gaussian((16,)))

    def provides(self, quantity):
        return quantity == "denoised"

    def evaluate(self, x, t, want, cond=None):
        alpha, beta = self.path.alpha(t), self.path.beta(t)
        mean = self.mean * (2 * cond[:, None] - 1)
        return {"denoised": mean + beta / (alpha**2 + beta**2) * (x - beta * mean)}


def test_the_class_that_denoises_best_is_that_of_the_larger_density():
    """The better density is right in a share Phi(|m|), |m| = 0.25 sqrt(16) = 1; near t = 0 noise says nothing."""
    n = 4000
    label = torch.arange(n) % 2
    x = torch.randn(n, 16, generator=generator(8)) + 0.25 * (2 * label[:, None] - 1)
    task = Task.of(TwoClasses().roles(), {"x1": x, "cond": label}, Split(by="none"))
    found = ask(DiffusionClassification(times=[0.05, 0.1], most=n), TwoClasses().fit(x1=x, cond=label), task)
    assert found["accuracy"].value == pytest.approx(0.841, abs=0.03)
    assert found["accuracy"].floor == pytest.approx(0.841, abs=0.03)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ClassicalRestoration("median"), r"rule must be one of .* got 'median'"),
        (
            lambda: ClassicalRestoration("nl_means", operator={"kind": "downsample"}),
            "nl_means needs the identity",
        ),
        (lambda: TissueSegmentation(channels=[1]), "names must be a list of one name for each of channels"),
        (
            lambda: with_lesions(torch.zeros(1, 1, 8, 8), generator=generator(0)),
            "every image must have at least two pixels above",
        ),
    ],
)
def test_bad_settings_are_refused(call, message):
    with pytest.raises(InvalidInputError, match=message):
        call()


def test_lesions_have_radii_from_1_8_to_3_2_pixels(generator):
    _, masks = with_lesions(torch.ones(300, 1, 40, 40), generator=generator)
    inner = masks[~(masks[:, [0, 1, -2, -1]].any((1, 2)) | masks[:, :, [0, 1, -2, -1]].any((1, 2)))]
    sizes = inner.sum((1, 2))
    assert sizes.min() == 9  # pixels within 1.8 of a pixel
    assert sizes.max() == 37  # within 3.2
    assert 0.3 < float((sizes < 21).double().mean()) < 0.7


def test_components_are_those_of_the_centred_images(generator):
    x = 5 + torch.randn(40, 1, 2, 2, generator=generator) * torch.tensor([[3.0, 1.0], [0.5, 0.2]])
    basis = ClassicalRestoration(rule="principal", components=1).fit(x).state["basis"]
    first = torch.linalg.eigh(torch.cov(x.flatten(1).double().T)).eigenvectors[:, -1]
    assert_close(abs(basis[0] @ first), torch.tensor(1.0).double())


def test_a_score_of_zero_everywhere_is_drawn_as_zero():
    assert _unit(torch.zeros(2, 3)).tolist() == [[0, 0, 0]] * 2
