"""Are images restored, and do restorations show what a prior does not know?"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.apps.medical.classical_restoration import AnyOperator
from interpolants.apps.medical.lesions import KINDS, with_lesions
from interpolants.foundations.kinds import Count, Positive, Whole
from interpolants.foundations.randomness import generator
from interpolants.framework.figures import Axis, Figure, strips
from interpolants.framework.question_form import Ask, question
from interpolants.framework.questions import About, Measured, Number
from interpolants.framework.role import Role
from interpolants.framework.task import Task
from interpolants.methods.questions.distances import as_tensor
from interpolants.metrics.estimate import Estimate
from interpolants.metrics.image_scores import psnr, ssim
from interpolants.metrics.roc import roc

_SHOWN = 6
# Of labels laid over images, in turn: orange, blue, green, red.
_COLOURS = ((1.0, 0.55, 0.1), (0.25, 0.55, 1.0), (0.2, 0.8, 0.3), (0.9, 0.2, 0.3))


_IMAGES = (Role(name="images", axis="images"),)


def _restored(question: Any, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
    """Truth, measurement, restoration and its error; rivals; the spread of draws."""
    truth, mean = own.arrays["truth"], own.arrays["mean"]
    rows = {"truth": truth, "measured": own.arrays["seen"], "restored": mean}
    rows |= {name.replace("_", " "): one.arrays["mean"] for name, one in rivals.items() if name != "shortest"}
    rows["5 x error"] = 5 * (mean - truth).abs()
    if question.draws > 1:
        rows["5 x spread"] = 5 * own.arrays["spread"]
    caption = (
        "Test images, their measurement (what fits it with least size), restorations, errors and spread."
    )
    return [album("restored", rows, caption)]


@question(
    needs="restore",
    numbers={
        "psnr": About("Peak signal-to-noise ratio", "higher", "dB", "Of the mean of the draws."),
        "ssim": About("Structural similarity", "higher", note="Of the mean of the draws."),
        "misfit": About(
            "Misfit of the measurement",
            "neither",
            "sizes of its noise",
            "Near 1 where a restoration fits as noise allows.",
        ),
        "spread_over_error": About(
            "Spread of draws over their error",
            "neither",
            note="1 where draws are as far from each other as the truth is from them; 0 for rules without spread.",
        ),
    },
    reads=_IMAGES,
    figures=_restored,
)
def image_restoration(
    ask: Ask,
    *,
    operator: AnyOperator = "identity",
    noise: Positive = 0.1,
    draws: Count = 1,
    most: Annotated[int, Ge(2)] = 40,
    span: Positive = 1.0,
    seed: Whole = 1,
) -> dict[str, Number]:
    """Test images are measured, with noise, and restored; the mean of some draws is compared with the image.

    Args:
        ask: Task and method.
        operator: H: id or table of an operator.
        noise: Standard deviation of the noise.
        draws: Answers to each measurement, whose mean is judged.
        most: Most test images, evenly spread.
        span: Largest value less the smallest one of an image.
        seed: Seed of the noise and the draws.
    """
    truth = some_of(ask.task, most)
    y = operator(truth)
    y = y + noise * torch.randn(y.shape, generator=generator(seed, "measured images"))
    found = ask.method.restore(y, draws=draws, seed=seed).x.to(truth)
    mean, spread = found.mean(1), found.std(1, correction=0)
    shown = pick(len(truth))
    ask.keep(truth=truth[shown], seen=operator.pinv(y)[shown], mean=mean[shown], spread=spread[shown])
    values: dict[str, Number] = {
        "psnr": psnr(mean, truth, span=span),
        "ssim": ssim(mean, truth, span=span),
        "misfit": (y - operator(mean)).flatten(1).square().mean(1).sqrt() / noise,
    }
    if draws > 1:
        # The truth is as far from the mean of K draws as one more draw: (1 + 1/K) times the variance.
        variance = found.var(1).flatten(1).mean(1) * (1 + 1 / draws)
        values["spread_over_error"] = (variance / (mean - truth).flatten(1).square().mean(1)).sqrt()
    return values


def _lesions(question: Any, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
    """Images with lesions, restored; where they are, and the score."""
    a = own.arrays
    outline = rim(a["where"][:, 0])
    rows = {
        "with a lesion": a["changed"],
        "outlined": laid_over(a["changed"], outline, share=0.9),
        "restored": a["restored"],
        "score": laid_over(5 * a["score"], outline, share=0.9),
    }
    rows |= {f"score: {name.replace('_', ' ')}": _unit(one.arrays["score"]) for name, one in rivals.items()}
    kinds = ", ".join(KINDS[k % len(KINDS)] for k in range(_SHOWN))
    return [album("lesions", rows, f"Lesions ({kinds}), images restored by the prior, and scores of pixels.")]


@question(
    needs="restore",
    numbers={
        "auroc": About("Area under the ROC curve, all pixels of the head", "higher"),
        "dark": About("The same for images with a dark lesion", "higher"),
        "bright": About("The same for images with a bright lesion", "higher"),
        "swapped": About("The same for images with another texture", "higher"),
    },
    reads=_IMAGES,
    figures=_lesions,
)
def anomaly_map(
    ask: Ask,
    *,
    draws: Count = 8,
    most: Annotated[int, Ge(len(KINDS))] = 80,
    smooth: Count = 5,
    seed: Whole = 1,
) -> dict[str, Number]:
    """Lesions are put into test images; the size of the difference to the restored image should tell where they are.

    Args:
        ask: Task and method.
        draws: Restorations that are averaged.
        most: Most test images, evenly spread.
        smooth: Side of the square over which differences are averaged, odd; 1 for none.
        seed: Seed of the lesions and the draws.
    """
    images = some_of(ask.task, most)
    changed, where = with_lesions(images, generator=generator(seed, "lesions"))
    restored = ask.method.restore(changed, draws=draws, seed=seed).x.to(changed).mean(1)
    half = smooth // 2
    apart = (changed - restored).abs()
    score = torch.nn.functional.avg_pool2d(apart, 2 * half + 1, 1, half, count_include_pad=False)[:, 0]
    head = images[:, 0] > 0
    arrays = {
        "changed": changed,
        "restored": restored,
        "score": score[:, None],
        "where": where[:, None].float(),
    }
    ask.keep(**{name: x[:_SHOWN] for name, x in arrays.items()})
    values: dict[str, Number] = {"auroc": _area(score, where, head)}
    for kind in ("dark", "bright", "swapped"):
        own = torch.tensor([KINDS[k % len(KINDS)] == kind for k in range(len(score))])
        values[kind] = _area(score[own], where[own], head[own])
    return values


def some_of(task: Task, most: int) -> Tensor:
    """Test images, evenly spread over the slab."""
    images = as_tensor(task.test["images"])
    count = min(most, len(images))
    return images[torch.arange(count) * len(images) // count]


def pick(n: int) -> Tensor:
    """Rows that are shown."""
    count = min(_SHOWN, n)
    return torch.arange(count) * n // count


def album(name: str, rows: Mapping[str, Tensor], caption: str, *, high: float = 1.2) -> Figure:
    """Rows of images ``(K, 1, H, W)``, or ``(K, 3, H, W)`` in colour, with their names."""
    stacked = [x[:, 0] for x in rows.values()]
    if any(x.shape[1] == 3 for x in rows.values()):
        stacked = [x.expand(-1, 3, -1, -1).movedim(1, -1) for x in rows.values()]
    panel = strips(stacked, low=0.0, high=high, names=tuple(rows), x=Axis())
    width = 92.0 * len(stacked[0]) + 110
    return Figure(name=name, panels=(panel,), caption=caption, width=width, height=92.0 * len(rows) + 10)


def laid_over(images: Tensor, labels: Tensor, *, high: float = 1.2, share: float = 0.5) -> Tensor:
    """Labels in colour over images, ``(K, 3, H, W)``; 0 as it is.

    Args:
        images: ``(K, 1, H, W)``.
        labels: ``(K, H, W)``, whole numbers >= 0.
        high: What will be shown as white.
        share: Of the colour where there is a label.
    """
    colours = high * torch.tensor(_COLOURS)[(labels.long() - 1) % len(_COLOURS)].movedim(-1, 1)
    grey = images.expand(-1, 3, -1, -1)
    return torch.where(labels[:, None] > 0, (1 - share) * grey + share * colours, grey)


def rim(mask: Tensor) -> Tensor:
    """Pixels beside a mask ``(K, H, W)``: its outline, which leaves what it holds to be seen."""
    wide = torch.nn.functional.max_pool2d(mask.float()[:, None], 3, 1, 1)[:, 0]
    return (wide > 0) & ~(mask > 0)


def _unit(score: Tensor) -> Tensor:
    return score / score.max().clamp_min(1e-9)


def _area(score: Tensor, where: Tensor, head: Tensor) -> Estimate:
    found = roc(score[head], where[head])
    return Estimate(found.area, found.error, found.found, "ROC area")
