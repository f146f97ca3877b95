"""Questions put to methods whose answers are known: real rows, and the Gaussian of Gaussian modalities."""

import math
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from interpolants import Bridge
from interpolants.apps.multimodal import LinkedGaussian, LinkedImages, LinkedLabels
from interpolants.apps.multimodal.linked_questions import _gain
from interpolants.apps.multimodal.masked_patches import load_masked_patches
from interpolants.apps.multimodal.modality_roles import modality_roles
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.questions import ask
from interpolants.framework.task import Task

CENTRES = torch.tensor([[-3.0, 0.0], [3.0, 0.0], [0.0, 4.0]])


class Remembers(Method):
    """Answers with its training rows: of the label that is asked for, or with label 0 for all images."""

    def roles(self):
        return modality_roles({"image": "rows", "label": "labels"})

    def learn(self, data: dict[str, Any], run: Any) -> Any:
        return {"image": data["image"], "label": data["label"]}

    @capability()
    def sample(self, n: int, *, seed: int = 0) -> dict[str, Any]:
        return {name: rows[:n] for name, rows in self.state.items()}

    @capability()
    def fill(self, *, seed: int = 0, **roles: Any) -> dict[str, Any]:
        if "label" in roles:
            rows = [int((self.state["label"] == code).nonzero()[0]) for code in roles["label"]]
            return {"image": self.state["image"][rows], "label": roles["label"]}
        return {"image": roles["image"], "label": torch.zeros(len(roles["image"]), dtype=torch.long)}


def test_real_pairs_belong_together_and_a_constant_label_is_right_for_its_share(generator):
    label = torch.randint(3, (400,), generator=generator)
    image = CENTRES[label] + 0.3 * torch.randn(400, 2, generator=generator)
    method = Remembers()
    task = Task.of(method.roles(), {"image": image, "label": label})
    found = ask(LinkedLabels(n=400), task.fit(method), task)
    assert found["consistency"].value == found["agreement"].value == found["consistency"].floor == 1.0
    assert_close(found["drawn_accuracy"].value, float((task.test["label"] == 0).double().mean()))
    assert found["frechet"].value == pytest.approx(found["frechet"].floor)


def test_rows_that_stand_in_the_order_of_their_labels_have_the_same_floor(generator):
    label = torch.arange(400) // 134
    image = CENTRES[label] + 0.3 * torch.randn(400, 2, generator=generator)
    method = Remembers()
    rows = torch.arange(400)
    own = {"train": rows[rows % 5 > 0], "test": rows[rows % 5 == 0]}
    task = Task.of(method.roles(), {"image": image, "label": label}, parts={"image": own, "label": own})
    found = ask(LinkedLabels(n=60), task.fit(method), task)
    assert found["frechet"].floor < 1.0  # the first 60 rows are of one label: more than 5
    assert found["frechet"].value > 5.0


def test_the_gaussian_of_gaussian_images_has_the_residual_error_and_the_right_spread(generator):
    noise = torch.randn(3000, 1, 2, 2, generator=generator)
    a = torch.randn(3000, 1, 2, 2, generator=generator)
    method = LinkedGaussian(modalities={"a": "rows", "b": "rows"})
    task = Task.of(method.roles(), {"a": a, "b": 2 * a + 0.5 * noise})
    question = LinkedImages(given=["a"], target="b", draws=16, within=[0, 2, 0, 2])
    found = ask(question, task.fit(method), task, [{"name": "mean", "twin": {"linked": False}}])
    truth = task.test["b"][:200]
    span = float(truth.max() - truth.min())
    residual = (truth - 2 * task.test["a"][:200]).flatten(1).square().mean(1)
    assert_close(found["psnr"].value, float(10 * torch.log10(span**2 / residual.mean())), atol=0.1, rtol=0)
    assert_close(found["spread_skill"].value, 1.0, atol=0.08, rtol=0)
    assert 1.8 < found["rmse"].rivals["mean"] < 2.2  # the standard deviation of b, sqrt(4.25)
    # A draw has its own error beside that of the mean: twice the square.
    assert_close(found["psnr"].value - found["draw_psnr"].value, 10 * math.log10(2), atol=0.6, rtol=0)


def test_the_error_of_a_gain_is_that_of_leaving_out_one_row_at_a_time(generator):
    """Two mean squares over the same rows, which go together."""
    error = torch.rand(400, dtype=torch.float64, generator=generator) ** 2
    other = 3 * error + torch.rand(400, dtype=torch.float64, generator=generator)
    found = _gain(error, other)
    assert found.value == pytest.approx(10 * math.log10(float(other.mean() / error.mean())))
    without = 10 * torch.log10((other.sum() - other) / (error.sum() - error))
    assert found.error == pytest.approx(399 / 20 * float(without.std()), rel=0.01)


def test_masked_patches_agree_outside_of_the_square():
    whole, masked = (load_masked_patches("test", part=part, stride=40).x for part in ("image", "masked"))
    outside = torch.ones(8, 8, dtype=torch.bool)
    outside[2:6, 2:6] = False
    assert torch.equal(whole[..., outside], masked[..., outside])
    assert not bool(masked[..., ~outside].any())


@pytest.mark.parametrize("hidden", [0, 3, 8])
def test_a_square_that_is_not_within_the_middle_of_a_patch_is_refused(hidden):
    with pytest.raises(InvalidInputError, match="hidden must be"):
        load_masked_patches("test", part="masked", stride=40, size=8, hidden=hidden)


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"given": ["a"], "target": "a"}, "given must name roles, and target another one"),
        ({"given": ["a"], "target": "b", "within": [1, 2]}, "within must be"),
        ({"given": ["a"], "target": "b", "seen": "a"}, "seen goes with within"),
    ],
)
def test_questions_without_sense_are_refused(settings, rule):
    with pytest.raises(InvalidInputError, match=rule):
        LinkedImages(**settings)


def test_labels_are_asked_of_what_fills_in_and_has_the_images():
    assert "does not fill" in LinkedLabels(image="x1").cannot(Bridge("one_sided_linear"))
    assert "Did you mean 'image'" in LinkedLabels(image="imge").cannot(Remembers())
    assert LinkedLabels().cannot(Remembers()) == ""
