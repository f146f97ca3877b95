"""Classical answers to an image: another contrast, tissues, or a displacement, without a network."""

import itertools
from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from interpolants.apps.medical.image_units import unit_of
from interpolants.foundations.asked import invalid
from interpolants.foundations.extras import require
from interpolants.foundations.kinds import Count, Each, Whole
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run

Rule = Literal["identity", "zero", "polynomial", "logistic", "k_means", "otsu", "optical_flow"]
_MOST_PIXELS = 40_000  # that a logistic regression learns from
_NEVER = -1e9  # log odds of a class that no pixel has


class ClassicalPrediction(Method):
    """Answer an image by a rule; as a rival of draws given an image, it answers without spread.

    ``"identity"``: the image itself in every channel; ``"zero"``: nothing. ``"polynomial"``: least squares on powers of
    the intensity, pixel by pixel. For channels that are labels, 0 or 1, the rest being a further class: ``"logistic"``:
    regression on these powers; ``"k_means"`` and ``"otsu"``: the intensities inside of each image in as many classes as
    there are channels, and a darker one, in the order of their brightness. ``"optical_flow"``: the displacement that
    leads from the second channel of the image to the first, rows then columns, by TV-L1.

    Raises:
        InvalidInputError: If a setting is unknown or out of range.

    Source: Otsu (1979), IEEE Trans. SMC 9, 62; Zach, Pock & Bischof (2007), DAGM, 214; as in scikit-image and -learn.
    """

    noun: ClassVar[str] = "rule"
    only_cpu: ClassVar[str] = "it works with scikit-image and scikit-learn"

    rule: Rule = field(default="polynomial", kw_only=False)
    """One of these."""
    degree: Count = 5
    """Highest power."""
    labels: Annotated[tuple[Whole, ...], Each("every label channel")] = ()
    """Channels that are labels; others are zero under rules for labels. All if empty."""

    def roles(self) -> tuple[Role, ...]:
        """Answers, and the images that they belong to."""
        return Role(name="x1", axis="x1", about="Answers (N, K, H, W)."), Role(
            name="cond", kind="condition", axis="x1", about="Images (N, C, H, W)."
        )

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Coefficients of the rules that have some."""
        x1, images = data["x1"], data["cond"]
        if images.ndim != 4 or x1.ndim != 4 or images.shape[2:] != x1.shape[2:]:
            found = f"{tuple(x1.shape)} and {tuple(images.shape)}"
            raise invalid("answers must lie on the grid of the images", found)
        sizes = torch.tensor([unit_of(channel) for channel in images.double().unbind(1)], dtype=torch.float64)
        units = {"low": images.double().amin((0, 2, 3)), "unit": sizes}
        powers = self._powers(images, units)
        values = x1.movedim(1, -1).reshape(-1, x1.shape[1]).double()
        if self.rule == "polynomial":
            gram = powers.mT @ powers + 1e-9 * len(powers) * torch.eye(powers.shape[1], dtype=powers.dtype)
            return {"rule": self.rule, "weights": torch.linalg.solve(gram, powers.mT @ values), **units}
        if self.rule != "logistic":
            return {"rule": self.rule, **units}
        linear: Any = require("sklearn.linear_model", by="ClassicalPrediction")
        shares = values[:, self._channels(values.shape[1])]
        label = torch.cat([1 - shares.sum(1, keepdim=True), shares], 1).argmax(1)
        step = max(1, len(powers) // _MOST_PIXELS)
        known = torch.unique(label[::step])
        # Classes that no pixel has are never answered; of two, scikit-learn gives the odds of the second alone.
        weights = torch.zeros(shares.shape[1] + 1, powers.shape[1], dtype=torch.float64)
        shift = torch.full((len(weights),), _NEVER, dtype=torch.float64).index_fill(0, known, 0.0)
        if len(known) > 1:
            fit = linear.LogisticRegression(C=1e3, max_iter=300).fit(
                powers[::step].numpy(), label[::step].numpy()
            )
            told = known[-len(fit.coef_) :]
            weights[told], shift[told] = torch.from_numpy(fit.coef_), torch.from_numpy(fit.intercept_)
        return {"rule": self.rule, "weights": weights, "shift": shift, **units}

    def _powers(self, images: Tensor, units: Mapping[str, Any]) -> Tensor:
        """Powers of the intensities of all pixels in units of the fit, ``(N H W, 1 + C degree)``."""
        pixels = images.movedim(1, -1).reshape(-1, images.shape[1]).double()
        pixels = (pixels - units["low"]) / units["unit"] if "unit" in units else pixels
        return torch.cat([torch.ones_like(pixels[:, :1]), *(pixels**k for k in range(1, self.degree + 1))], 1)

    def _channels(self, width: int) -> list[int]:
        return list(self.labels or range(width))

    @capability(like="x1")
    def sample(self, n: Count, *, cond: Tensor | None = None, seed: int = 0) -> Any:
        """The answers to ``n`` images, ``(n, K, H, W)``.

        Args:
            n: Number of images.
            cond: The images.
            seed: Without effect.
        """
        if cond is None or len(cond) != n:
            found = "none" if cond is None else f"{len(cond)} for {n}"
            raise invalid("cond must have one image per requested sample", found)
        channels, size = self.shapes["x1"][0], cond.shape[2:]
        if self.rule == "identity":
            return cond[:, :1].expand(-1, channels, *size).clone()
        if self.rule == "zero":
            return cond.new_zeros(n, channels, *size)
        if self.rule == "optical_flow":
            units = self.state["unit"] if "unit" in self.state else torch.ones(1, dtype=torch.float64)
            return torch.stack([_flow(image / float(units.max())) for image in cond]).to(cond)
        if self.rule in ("polynomial", "logistic"):
            return self._regressed(cond, n, channels).to(cond)
        shares = torch.stack([_classes(image[0], self.rule, len(self._channels(channels))) for image in cond])
        return self._as_channels(shares, channels).to(cond)

    def _regressed(self, cond: Tensor, n: int, channels: int) -> Tensor:
        powers = self._powers(cond, self.state)
        if self.rule == "polynomial":
            values: Tensor = powers @ self.state["weights"]
            return values.reshape(n, *cond.shape[2:], channels).movedim(-1, 1)
        shares = (powers @ self.state["weights"].mT + self.state["shift"]).softmax(1)[:, 1:]
        return self._as_channels(shares.reshape(n, *cond.shape[2:], -1).movedim(-1, 1), channels)

    def _as_channels(self, shares: Tensor, channels: int) -> Tensor:
        found = shares.new_zeros(len(shares), channels, *shares.shape[2:])
        found[:, self._channels(channels)] = shares
        return found


def _classes(image: Tensor, rule: str, count: int) -> Tensor:
    """Label maps ``(count, H, W)`` of an image ``(H, W)``: brighter classes later, the darkest left out."""
    values = image.double().numpy()
    low, high = values.min(), values.max()
    if low == high:  # nothing is inside
        return torch.zeros(count, *image.shape, dtype=torch.float64)
    inside = values > low + 0.05 * (high - low)
    if (found := len(np.unique(values[inside]))) <= count:
        rule = f"the inside of an image must have more than {count} intensities, to tell {count + 1} classes"
        raise invalid(rule, found, "Use rule='logistic'.")
    if rule == "otsu":
        filters: Any = require("skimage.filters", by="ClassicalPrediction")
        bounds = filters.threshold_multiotsu(values[inside], classes=count + 1)
    else:
        cluster: Any = require("sklearn.cluster", by="ClassicalPrediction")
        fit = cluster.KMeans(count + 1, n_init=3, random_state=0).fit(values[inside][:, None])
        middles = sorted(fit.cluster_centers_[:, 0])
        bounds = [(a + b) / 2 for a, b in itertools.pairwise(middles)]
    place = torch.bucketize(image.double(), torch.as_tensor(bounds, dtype=torch.float64)) * torch.from_numpy(
        inside
    )
    return torch.stack([(place == k).double() for k in range(1, count + 1)])


def _flow(image: Tensor) -> Tensor:
    """``(2, H, W)``: from the second channel to the first one, so that ``first(p) = second(p + flow(p))``."""
    registration: Any = require("skimage.registration", by="ClassicalPrediction")
    if len(image) != 2:
        raise invalid("optical_flow needs two channels", len(image))
    first, second = image.numpy()
    return torch.as_tensor(registration.optical_flow_tvl1(first, second))
