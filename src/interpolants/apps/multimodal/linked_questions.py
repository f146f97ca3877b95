"""Do modalities belong together: labels of drawn images, images of given labels, and images of other images."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from annotated_types import Ge
from numpy.typing import NDArray
from torch import Tensor

from interpolants.foundations import asked
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.kinds import Whole
from interpolants.framework.figures import Axis, Figure, Panel
from interpolants.framework.figures import Series as Mark
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.roles import take
from interpolants.framework.task import Task
from interpolants.methods.questions.calls import options_for
from interpolants.methods.questions.distances import as_tensor, real_rows
from interpolants.methods.questions.sample_quality import samples_figure
from interpolants.metrics.ensemble import spread_skill
from interpolants.metrics.estimate import Estimate
from interpolants.metrics.frechet import frechet_distance
from interpolants.metrics.label_classifier import LabelClassifier

_SHOWN = 400


@dataclass(frozen=True, kw_only=True)
class LinkedLabels(Question):
    """Images and labels of one model: drawn together, images given labels, labels given images.

    A classifier that was trained on real training rows judges the images. A method without the label is asked for its
    images alone.
    """

    needs: ClassVar[str] = "sample"
    front: ClassVar[tuple[str, ...]] = ("given_labels", "drawn_together")
    numbers: ClassVar[Mapping[str, About]] = {
        "consistency": About(
            "Label of a drawn pair = label of its image", "higher", floor_of="real held-out pairs",
            note="By a classifier trained on real data only.",
        ),
        "agreement": About(
            "Label given = label of the image drawn for it", "higher", floor_of="real held-out pairs",
            note="By a classifier trained on real data only.",
        ),
        "accuracy": About(
            "Label expected of an image = its label", "higher", floor_of="that classifier",
            note="The likeliest label given real held-out images.",
        ),
        "drawn_accuracy": About("Label drawn for an image = its label", "higher", floor_of="that classifier"),
        "frechet": About(
            "Fréchet distance of drawn images", floor_of="training images",
            note="In 20 principal components of the held-out images.",
        ),
    }  # fmt: skip

    image: str = "image"
    """Role of the images, or vectors."""
    label: str = "label"
    """Role of the labels."""
    n: Annotated[int, Ge(2)] = 1000
    """Rows to draw together."""
    seed: Whole = 1
    """Seed of the draws."""
    options: Mapping[str, Any] | None = None
    """Options of the draws, such as ``n_steps``."""

    def cannot(self, method: Method) -> str:
        """A method that draws one thing alone, or nothing of that name."""
        if not method.can("fill"):
            return "it does not fill in one modality from another."
        own = [role.name for role in method.roles()]
        return "" if self.image in own else f"it has no modality {self.image!r}. {nearest(self.image, own)}"

    def measure(self, method: Method, task: Task) -> Measured:
        """Shares by row, and the distance."""
        answer: Any = method
        drawn = answer.sample(self.n, **options_for(method, "sample", self._asked))
        images = as_tensor(drawn[self.image])
        values: dict[str, Number] = {
            "frechet": frechet_distance(images.double().flatten(1), self._real(task)[0].double().flatten(1))
        }
        arrays = {"together": images[:_SHOWN]}
        if self.label not in {role.name for role in method.roles()}:
            return Measured(values, arrays)
        judge, names = self._judge(task), self._names(task)
        own = _codes(drawn[self.label], names)
        values["consistency"] = (judge.predict(images) == own).double()
        arrays["together_labels"] = own[:_SHOWN]
        return Measured(values | self._given(answer, task, judge, arrays), arrays)

    @property
    def _asked(self) -> dict[str, Any]:
        return {"seed": self.seed, **(self.options or {})}

    def _given(
        self, method: Any, task: Task, judge: LabelClassifier, arrays: dict[str, Tensor]
    ) -> dict[str, Number]:
        """Either of the two given the other of the test rows."""
        real, codes, labels = self._real(task)
        asked, names = options_for(method, "fill", self._asked), self._names(task)
        images = as_tensor(method.fill(**{self.label: labels}, **asked)[self.image])
        arrays |= {"given": images[:_SHOWN], "given_labels": codes[:_SHOWN]}
        found: dict[str, Number] = {"agreement": (judge.predict(images) == codes).double()}
        drawn = method.fill(**{self.image: real}, **asked)[self.label]
        found["drawn_accuracy"] = (_codes(drawn, names) == codes).double()
        if method.can("expect"):
            likeliest = as_tensor(method.expect(**{self.image: real})[self.label]).argmax(1)
            found["accuracy"] = (likeliest == codes).double()
        return found

    def floors(self, task: Task) -> Mapping[str, Estimate | float | str]:
        """The classifier on real test rows; the distance of as many training rows."""
        real, codes, _ = self._real(task)
        right = self._judge(task).accuracy(real, codes)
        train = real_rows(task, self.image, "train")
        train = train[~train.flatten(1).isnan().any(1)]
        # Evenly from all: rows may stand in an order, such as that of their labels.
        train = train[torch.linspace(0, len(train) - 1, min(self.n, len(train)), dtype=torch.float64).long()]
        far = frechet_distance(train.double().flatten(1), real.double().flatten(1))
        return {
            **dict.fromkeys(("consistency", "agreement", "accuracy", "drawn_accuracy"), right),
            "frechet": far,
        }

    def _real(self, task: Task) -> tuple[Tensor, Tensor, Any]:
        """Images, codes and labels of the test rows that have both."""
        images, labels = as_tensor(task.test[self.image]), task.test[self.label]
        codes = _codes(labels, self._names(task))
        both = (codes >= 0) & ~images.flatten(1).isnan().any(1)
        return images[both], codes[both], take(labels, both.nonzero()[:, 0])

    def _names(self, task: Task) -> list[str]:
        return _names(task.train[self.label])

    def _judge(self, task: Task) -> LabelClassifier:
        images, codes = as_tensor(task.train[self.image]), _codes(task.train[self.label], self._names(task))
        both = (codes >= 0) & ~images.flatten(1).isnan().any(1)
        if len(set(codes[both].tolist())) < 2:
            raise invalid(
                "linked_labels",
                "labels of the training rows must have at least two classes",
                repr(self.label),
            )
        return LabelClassifier(images[both], codes[both])

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Images of given labels, real and drawn; and pairs that were drawn together."""
        real, codes, _ = self._real(task)
        if real.ndim != 4 or "given" not in own.arrays:
            return ()
        given = {"real": real[:_SHOWN], "of the labels": own.arrays["given"]}
        given |= {
            name.replace("_", " "): one.arrays["given"]
            for name, one in rivals.items()
            if "given" in one.arrays
        }
        # As bright as real ones: alone they would be shown over their own range, far values and all.
        together = {"drawn together": own.arrays["together"].to(real).clamp(real.min(), real.max())}
        return [
            samples_figure("given_labels", given, labels=codes[:_SHOWN], caption="Images drawn for given labels."),
            samples_figure(
                "drawn_together", together, labels=own.arrays["together_labels"],
                caption="Images beside the label that was drawn with them.",
            ),
        ]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LinkedImages(Question):
    """One image, or vector, given others: is its mean near the truth, and have draws the right spread?"""

    needs: ClassVar[str] = "fill"
    numbers: ClassVar[Mapping[str, About]] = {
        "rmse": About("Error of the mean", unit="data units", note="Root mean square by row."),
        "psnr": About(
            "Peak signal-to-noise of the mean", "higher", "dB", note="The span is that of the test rows."
        ),
        "draw_psnr": About("Peak signal-to-noise of a draw", "higher", "dB"),
        "gain": About("Gain over the mean of what is seen", "higher", "dB", note="Of the same rows."),
        "spread_skill": About("Spread of draws over error of their mean", "neither", note="1 is right."),
    }

    given: Sequence[str] = ()
    """Roles that are told."""
    target: str = ""
    """Role that is asked for."""
    within: Sequence[int] = ()
    """Box of pixels that count, ``[top, bottom, left, right]``; all if empty."""
    seen: str = ""
    """A role whose pixels outside of the box are known: their mean is compared too."""
    draws: Annotated[int, Ge(2)] = 8
    """Draws for each case."""
    most: Annotated[int, Ge(2)] = 200
    """Most test rows."""
    seed: Whole = 1
    """Seed of the draws."""
    options: Mapping[str, Any] | None = None
    """Options of the draws, such as ``n_steps``."""

    def check_settings(self) -> None:
        """Refuse roles and a box without sense."""
        if not self.given or not self.target or self.target in self.given:
            rule = "given must name roles, and target another one"
            raise asked.invalid(rule, f"given={list(self.given)}, target={self.target!r}")
        if len(self.within) not in (0, 4):
            raise asked.invalid("within must be [top, bottom, left, right]", list(self.within))
        if self.seen and not self.within:
            raise asked.invalid("seen goes with within, the box that is not seen", "no box")

    def cannot(self, method: Method) -> str:
        """A method without one of the roles."""
        own = {role.name for role in method.roles()}
        missing = [name for name in (*self.given, self.target) if name not in own]
        return f"it has no role {missing[0]!r}." if missing else ""

    def measure(self, method: Method, task: Task) -> Measured:
        """Errors by row."""
        told, truth = self._cases(task)
        answer: Any = method
        asked = options_for(method, "fill", self.options)
        drawn = torch.stack(
            [
                as_tensor(answer.fill(**told, **asked, seed=self.seed + k)[self.target])
                for k in range(self.draws)
            ],
            1,
        ).double()
        mean = (
            as_tensor(answer.expect(**told)[self.target]).double() if method.can("expect") else drawn.mean(1)
        )
        span = float(truth.max() - truth.min())
        box, boxes = self._box(truth), self._box(drawn.flatten(0, 1)).reshape(*drawn.shape[:2], -1)
        error = (self._box(mean) - box).square().mean(1)
        values: dict[str, Number] = {"rmse": error.sqrt(), "psnr": _decibels(error, span)}
        values["draw_psnr"] = _decibels((boxes[:, 0] - box).square().mean(1), span)
        values["spread_skill"] = spread_skill(boxes, box)
        if self.seen:
            values["gain"] = _gain(error, self._mean_fill_error(task, truth))
        return Measured(values, {"mean": mean[:8], "drawn": drawn[:8, :2]})

    def _cases(self, task: Task) -> tuple[dict[str, Any], Tensor]:
        """What is told, and the truth ``(m, *D)``, of the test rows that have all of it."""
        truth = as_tensor(task.test[self.target]).double()
        there = ~truth.flatten(1).isnan().any(1)
        for name in self.given:
            value = as_tensor(task.test[name])
            there &= ~value.flatten(1).isnan().any(1) if value.is_floating_point() else value >= 0
        rows = there.nonzero()[:, 0][: self.most]
        return {name: take(task.test[name], rows) for name in self.given}, truth[rows]

    def _box(self, x: Tensor) -> Tensor:
        """Pixels that count, ``(m, P)``."""
        if not self.within:
            return x.flatten(1)
        top, bottom, left, right = self.within
        return x[..., top:bottom, left:right].flatten(1)

    def _mean_fill_error(self, task: Task, truth: Tensor) -> Tensor:
        told, _ = self._cases(task)
        x = as_tensor(told[self.seen]).double()
        outside = torch.ones(x.shape[-2:], dtype=torch.bool)
        top, bottom, left, right = self.within
        outside[top:bottom, left:right] = False
        mean = x[..., outside].flatten(1).mean(1, keepdim=True)
        return (self._box(truth) - mean).square().mean(1)

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Some cases: what was given, the truth, the mean, two draws, and the rivals' means."""
        told, truth = self._cases(task)
        if truth.ndim != 4:
            return ()
        few = len(own.arrays["mean"])
        pictures = {name: as_tensor(x)[:few].double() for name, x in told.items() if np.ndim(x) == 4}
        columns = {f"{name} (given)": x for name, x in pictures.items()}
        columns |= {f"{self.target}, true": truth[:few], "mean": own.arrays["mean"]}
        columns |= {"a draw": own.arrays["drawn"][:, 0], "another": own.arrays["drawn"][:, 1]}
        columns |= {name.replace("_", " "): one.arrays["mean"] for name, one in rivals.items()}
        return [
            _side_by_side("cases", columns, f"Test rows: {self.target} given {' and '.join(self.given)}.")
        ]


def _decibels(error: Tensor, span: float) -> Estimate:
    """Of the mean square over all rows: flat patches, whose error is next to nothing, would rule a mean of decibels."""
    return _gain(error, torch.full_like(error, span**2), "peak signal-to-noise")


def _gain(error: Tensor, other: Tensor, name: str = "gain") -> Estimate:
    """Decibels between two mean squares; the error is that of the logarithm of a ratio of paired means."""
    influence = error / error.mean() - other / other.mean()
    scale = 10 / math.log(10)
    value = scale * math.log(float(other.mean()) / max(float(error.mean()), 1e-300))
    return Estimate(value, scale * float(influence.std()) / math.sqrt(len(error)), len(error), name)


def _side_by_side(name: str, columns: Mapping[str, Tensor], caption: str) -> Figure:
    """A panel for each set of images, one below the other in it."""
    panels = []
    for title, x in columns.items():
        grid = x.float().movedim(1, -1)[:, None]
        grey = grid[..., 0] if grid.shape[-1] == 1 else grid
        mark = Mark(mark="images", arrays={"images": grey}, low=float(x.min()), high=float(x.max()))
        panels.append(Panel(series=(mark,), title=title, y=Axis(), bare=True))
    rows = len(next(iter(columns.values())))
    return Figure(
        name=name,
        panels=tuple(panels),
        caption=caption,
        columns=len(panels),
        width=120 * len(panels),
        height=110 * rows,
    )


def _names(labels: Any) -> list[str]:
    """Labels as words, in the order of their codes."""
    plain = _plain(labels)
    known = [one for one in plain.tolist() if one is not None and one == one and one != -1]
    if known and not isinstance(known[0], str):
        return [str(code) for code in range(int(max(known)) + 1)]
    return sorted(set(known))


def _codes(labels: Any, names: Sequence[str]) -> Tensor:
    """Codes ``(N,)`` of labels; -1 for what is missing or unknown."""
    plain = _plain(labels)
    places = {name: code for code, name in enumerate(names)}
    words = [_word(one) for one in plain.tolist()]
    return torch.tensor([places.get(word, -1) for word in words])


def _plain(labels: Any) -> NDArray[Any]:
    """Labels ``(N,)``; a column of a file is ``(N, 1)``."""
    return np.asarray(getattr(labels, "to_numpy", lambda: labels)()).reshape(-1)


def _word(one: Any) -> str:
    if isinstance(one, str):
        return one
    return "" if one is None or one != one else str(int(one))
