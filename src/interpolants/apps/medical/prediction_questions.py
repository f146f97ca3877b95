"""Answers to images against those that are known: contrast, tissues, displacement, class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Interval, MinLen
from torch import Tensor

from interpolants.apps.medical.restoration_questions import album, laid_over, pick
from interpolants.data.image_warps import warped
from interpolants.foundations import asked
from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.foundations.kinds import Count, Each, NonNegative, Whole
from interpolants.foundations.randomness import generator
from interpolants.framework.figures import Figure
from interpolants.framework.frames import FramedFields
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Question
from interpolants.framework.task import Task
from interpolants.methods.questions.calls import options_for
from interpolants.methods.questions.distances import as_tensor
from interpolants.metrics.estimate import Estimate
from interpolants.metrics.image_scores import dice, end_point_error, folding, psnr, ssim

Times = Annotated[tuple[Annotated[float, Interval(gt=0, lt=1)], ...], MinLen(1), Each("every time")]


@dataclass(frozen=True, kw_only=True)
class _GivenImages(Question):
    """Draws given the test images."""

    needs: ClassVar[str] = "sample"

    draws: Count = 4
    """Answers to each image, whose mean is judged."""
    n_steps: Count = 10
    """Steps of a sampler, for methods that have some."""
    seed: Whole = 1
    """Seed of the draws."""

    def drawn(self, method: Method, task: Task) -> tuple[Tensor, Tensor, Tensor]:
        """Draws ``(K, N, C, H, W)``, the truth ``(N, C, H, W)`` and the images."""
        truth, images = (as_tensor(task.test[role]) for role in ("x1", "cond"))
        found = []
        for k in range(self.draws):
            options = options_for(method, "sample", {"seed": self.seed + k, "n_steps": self.n_steps})
            found.append(as_tensor(task.call(method, "sample", n=len(truth), **options)).to(truth))
        return torch.stack(found), truth, images


@dataclass(frozen=True, kw_only=True)
class ContrastTranslation(_GivenImages):
    """Is another contrast told from an image?"""

    numbers: ClassVar[Mapping[str, About]] = {
        "psnr": About("Peak signal-to-noise ratio", "higher", "dB", "Of the mean of the draws."),
        "ssim": About("Structural similarity", "higher"),
    }

    channel: int = 0
    """Channel of the answers."""

    def measure(self, method: Method, task: Task) -> Measured:
        """One number per image."""
        draws, truth, images = self.drawn(method, task)
        mean, own = (x[:, self.channel, None] for x in (draws.mean(0), truth))
        some = pick(len(own))
        arrays = {"image": images[some, :1], "truth": own[some], "told": mean[some]}
        return Measured({"psnr": psnr(mean, own), "ssim": ssim(mean, own)}, arrays)

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Image, truth, answer and errors."""
        a = own.arrays
        rows = {"image": a["image"], "truth": a["truth"], "told": a["told"]}
        rows |= {name.replace("_", " "): one.arrays["told"] for name, one in rivals.items()}
        rows["5 x error"] = 5 * (a["told"] - a["truth"]).abs()
        return [album("translated", rows, "Image, the other contrast, and what was told of it.", high=1.0)]


@dataclass(frozen=True, kw_only=True)
class TissueSegmentation(_GivenImages):
    """Are tissues, organs or lesions found? The label is the likeliest of the channels, or none of them.

    Where neither the truth nor the answer has a label, the overlap is 1.
    """

    channels: Sequence[int] = (1, 2)
    """Channels of the answers that are labels."""
    names: Sequence[str] = ("grey", "white")
    """Their names."""

    def check_settings(self) -> None:
        """Refuse names that are not one for each channel."""
        if isinstance(self.names, str) or not 1 <= len(self.channels) == len(self.names):
            rule = "names must be a list of one name for each of channels"
            raise asked.invalid(rule, f"{self.names!r} for {self.channels!r}")

    def about(self, name: str) -> About:
        """Overlap of one label."""
        return About(f"Dice overlap, {name.removesuffix('_dice')}", "higher")

    def measure(self, method: Method, task: Task) -> Measured:
        """One overlap per image and tissue."""
        draws, truth, images = self.drawn(method, task)
        shares, known = (x[:, list(self.channels)] for x in (draws.mean(0), truth))
        label, wanted = self._labels(shares), self._labels(known)
        values = {
            f"{name}_dice": dice(label, wanted, k + 1).nan_to_num(1.0) for k, name in enumerate(self.names)
        }
        each = torch.stack([self._labels(one[:, list(self.channels)]) for one in draws])
        unsure = (each != label).double().mean(0)
        some = pick(len(label))
        arrays = {
            "image": images[some, :1],
            "label": label[some],
            "truth": wanted[some],
            "unsure": unsure[some],
        }
        return Measured(values, arrays)

    @staticmethod
    def _labels(shares: Tensor) -> Tensor:
        return torch.cat([1 - shares.sum(1, keepdim=True), shares], 1).argmax(1)

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Image, true and found tissues, and where draws differ."""
        a = own.arrays
        rows = {"image": a["image"], "tissues": laid_over(a["image"], a["truth"], high=1.0)}
        rows |= {"found": laid_over(a["image"], a["label"], high=1.0)}
        rows |= {
            name.replace("_", " "): laid_over(a["image"], one.arrays["label"], high=1.0)
            for name, one in rivals.items()
        }
        rows["wrong"] = (a["label"] != a["truth"]).float()[:, None]
        if self.draws > 1:
            rows["draws differ"] = 2 * a["unsure"].float()[:, None]
        shown = ", ".join(self.names)
        caption = (
            f"In orange, blue, green and red: {shown}. Where the answer is wrong, and where draws differ."
        )
        return [album("tissues", rows, caption, high=1.0)]


@dataclass(frozen=True, kw_only=True)
class DisplacementQuality(_GivenImages):
    """Is the displacement found that leads from the second channel of the images to the first?"""

    numbers: ClassVar[Mapping[str, About]] = {
        "end_point_error": About("End-point error", unit="pixels", note="Over the head."),
        "folded": About("Share of folded points", note="Where the map turns space inside out."),
        "psnr": About("Second image displaced, against the first", "higher", "dB"),
    }

    threshold: NonNegative = 0.05
    """Points of the second channel above it count: what is black tells nothing."""

    def measure(self, method: Method, task: Task) -> Measured:
        """One number per pair of images."""
        draws, truth, images = self.drawn(method, task)
        mean, head = draws.mean(0), images[:, 1] > self.threshold
        moved = warped(images[:, 1:], mean)
        values = {
            "end_point_error": end_point_error(mean, truth, head),
            "folded": folding(mean, head),
            "psnr": psnr(moved, images[:, :1]),
        }
        some = pick(len(truth))
        length = (mean - truth).norm(dim=1, keepdim=True) * head[:, None]
        arrays = {
            "first": images[some, :1],
            "second": images[some, 1:],
            "moved": moved[some],
            "error": length[some],
        }
        return Measured(values, arrays)

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Both images, their difference before and after, and the error of the displacement."""
        a = own.arrays
        rows = {"first": a["first"], "second": a["second"], "second, moved": a["moved"]}
        rows |= {
            "gap before": 2 * (a["first"] - a["second"]).abs(),
            "gap after": 2 * (a["first"] - a["moved"]).abs(),
        }
        rows["error up to 1 px"] = a["error"]
        rows |= {f"error: {name.replace('_', ' ')}": one.arrays["error"] for name, one in rivals.items()}
        return [album("registered", rows, "Pairs of images and the displacement between them.", high=1.0)]


@dataclass(frozen=True, kw_only=True)
class DiffusionClassification(Question):
    """Is the class of an image the one under which the model denoises it best?

    The class with the least mean error of ``E[x1|x_t, class]``, over times and noise that all classes share: with noise
    of their own the differences drown. The floor is a logistic regression on the pixels of the training images.
    """

    needs: ClassVar[str] = "sample"
    numbers: ClassVar[Mapping[str, About]] = {
        "accuracy": About("Share of right classes", "higher", floor_of="logistic regression on pixels"),
        "commonest": About(
            "Share of the commonest class", "neither", note="What always saying that would reach."
        ),
    }

    times: Times = (0.03, 0.06, 0.1) * 3
    """Times of the path at which it is asked, each with noise of its own. Later the noisy image itself tells the class,
    and what is said of it does not count."""
    most: Annotated[int, Ge(2)] = 120
    """Most test images, evenly spread."""
    seed: Whole = 1
    """Seed of the noise."""

    def measure(self, method: Method, task: Task) -> Measured:
        """Whether each image was told right."""
        if not isinstance(method, FramedFields):
            rule = "the method must have fields that can be compared by class"
            raise invalid("diffusion_classification", rule, type(method).__name__)
        rows = self._rows(task)
        x, label = (as_tensor(task.test[role])[rows] for role in ("x1", "cond"))
        classes = int(as_tensor(task.train["cond"]).max()) + 1
        states, errors = method.frame.encode(x).float(), torch.zeros(len(x), classes)
        path: Any = method.fields.path
        for k, time in enumerate(self.times):
            z = path.base.color(torch.randn(states.shape, generator=generator(self.seed, "classes", k)))
            t = torch.tensor(time)
            noisy = path.alpha(t) * z + path.beta(t) * states
            for c in range(classes):
                told = method.fields.denoised(noisy, t, torch.full((len(x),), c))
                errors[:, c] += (told - states).flatten(1).square().mean(1) / len(self.times)
        right = (errors.argmin(1) == label).double()
        return Measured(
            {"accuracy": right, "commonest": float(torch.bincount(label.long()).max()) / len(label)}
        )

    def floors(self, task: Task) -> Mapping[str, Estimate | float | str]:
        """The accuracy of a logistic regression on the same test images."""
        linear: Any = require("sklearn.linear_model", by="diffusion_classification")
        rows, train = self._rows(task), [as_tensor(task.train[role]) for role in ("x1", "cond")]
        x, label = (as_tensor(task.test[role])[rows] for role in ("x1", "cond"))
        if len(torch.unique(train[1])) < 2:
            return {"accuracy": "unknown: the training images are of one class"}
        fit = linear.LogisticRegression(C=0.1, max_iter=300).fit(
            train[0].flatten(1).numpy(), train[1].numpy()
        )
        right = float(fit.score(x.flatten(1).numpy(), label.numpy()))
        return {
            "accuracy": Estimate(right, (max(right * (1 - right), 0.0) / len(x)) ** 0.5, len(x), "accuracy")
        }

    def _rows(self, task: Task) -> Tensor:
        n = len(as_tensor(task.test["x1"]))
        count = min(self.most, n)
        return torch.arange(count) * n // count
