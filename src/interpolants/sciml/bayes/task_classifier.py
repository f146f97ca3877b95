"""A classifier for one task of few rows: what an adaptation to new classes is."""

import copy
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from interpolants.foundations.asked import invalid
from interpolants.foundations.errors import DivergedError
from interpolants.foundations.kinds import Count, Positive, Whole
from interpolants.foundations.randomness import generator
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.sciml.bayes import linear_heads
from interpolants.sciml.bayes.class_labels import NEW_LABELS

X = Role(name="x", about="Rows, vectors or images.")
_FIRST_SPREAD = 100.0


class TaskClassifier(Method):
    """Classes of rows from a few examples of each; usually made by ``adapt`` of a method that has seen other classes.

    ``predict`` gives the probability of each class, one column each, in the order of ``model.classes``.

    Raises:
        InvalidInputError: If a setting is out of range, when fitted also if there is one class alone.

    Source: Kim & Hospedales (2024), arXiv:2306.09702; the posterior of a linear head is its Laplace approximation.
    """

    noun: ClassVar[str] = "task's classifier"

    prior: Any = None
    """Network of the features, variances of the head's weights and units, as `FewShotClassifier` learns them;
    standardised columns and a wide prior if None."""
    local: Literal["bayes", "descent", "centroid"] = "bayes"
    """``"bayes"``: the head has a posterior, over which probabilities are averaged; ``"descent"``: all weights after
    some steps; ``"centroid"``: the nearest mean of a class in the features."""
    inner_steps: Whole = 5
    """Steps of descent."""
    inner_lr: Positive = 0.1
    """Their size."""
    draws: Count = 200
    """Draws of the posterior."""

    def roles(self) -> tuple[Role, ...]:
        """Rows and their classes."""
        return X, NEW_LABELS

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """The head, or all weights."""
        x, labels, names = in_full(data["x"]), data["y"].codes, list(data["y"].names)
        if self.prior is None:  # the columns themselves are the features
            log_s = torch.full((x.flatten(1).shape[1] + 1,), _FIRST_SPREAD, dtype=torch.float64).log()
            prior: dict[str, Any] = {"features": None, "units": units_of_rows(x), "log_s": log_s}
        else:
            prior = dict(self.prior)
        if self.local == "descent" and prior["features"] is None:
            remedy = "Adapt a FewShotClassifier(learn_by='maml'), or use local='bayes'."
            raise invalid("local='descent' moves a network of a prior", "none", remedy)
        found = {"names": names, "features": prior["features"], "units": prior["units"]}
        if self.local == "centroid":
            return {**found, "head": _centroids(features_of(found, x), labels, len(names))}
        if self.local == "descent":
            module = copy.deepcopy(prior["features"])
            start = start_of(module, prior["outputs"], len(names))
            one = {name: w[None] for name, w in start.items()}  # the only task
            z = in_units(prior["units"], x)[None]
            moved = descend(module, one, z, labels[None], self.inner_steps, self.inner_lr)
            head = moved.pop("head")[0].double()
            module.load_state_dict({name: w[0] for name, w in moved.items()})
            return {**found, "features": module.requires_grad_(False), "head": head}
        z, s = _with_ones(found, x), prior["log_s"].exp()
        theta, precision = linear_heads.posterior(
            z[None], labels[None], s, len(names), self._noise(len(names))
        )
        covariance = torch.linalg.inv(precision[0])
        return {**found, "head": theta[0].contiguous(), "covariance": covariance.contiguous()}

    def _noise(self, classes: int) -> Tensor:
        """Normal numbers of all averages over the posterior."""
        source = generator(self.seed, "class probabilities")
        return torch.randn(self.draws, classes, dtype=torch.float64, generator=source)

    @property
    def classes(self) -> list[Any]:
        """Names of the classes, in the order of the columns of ``predict``."""
        return list(self.fitted_state("classes")["names"])

    def columns(self, name: str) -> tuple[str, ...]:
        """Those of the answer are the classes."""
        known = tuple(map(str, self.state["names"])) if self.is_fitted and name == "classes" else ()
        return known or super().columns(name)

    @capability(like="classes", blocks=True)
    def predict(self, x: Tensor) -> Tensor:
        """Probabilities of the classes, ``(B, K)``.

        Args:
            x: Rows, ``(B, *D)``.
        """
        if self.local == "centroid":
            return _nearest(features_of(self.state, x), self.state["head"])
        z = _with_ones(self.state, x)
        if self.local == "descent":
            return torch.softmax(z * z.shape[1] ** 0.5 @ self.state["head"], -1)
        noise = self._noise(len(self.state["names"]))
        return linear_heads.probabilities(z, self.state["head"], self.state["covariance"], noise)


def features_of(state: Mapping[str, Any], x: Tensor) -> Tensor:
    """Features of rows, ``(N, F)`` float64."""
    x = in_units(state["units"], x)
    with torch.no_grad():
        found: Tensor = (x.flatten(1) if state["features"] is None else state["features"](x)).double()
    return found


def _with_ones(state: Mapping[str, Any], x: Tensor) -> Tensor:
    """Features as a linear head takes them."""
    return linear_heads.with_ones(features_of(state, x), learnt=state["features"] is not None)


def units_of_rows(x: Tensor) -> dict[str, Tensor]:
    """Centre and scale: of each column of vectors, of all pixels of images together."""
    if x.ndim > 2:
        return {"centre": x.mean(), "scale": x.std()}
    scale = x.std(0) if len(x) > 1 else torch.zeros_like(x[0])
    return {"centre": x.mean(0), "scale": torch.where(scale > 0, scale, 1.0)}


def in_units(units: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Rows in standard units, centred in the precision they came in: far from 0 it is all that tells them apart."""
    found: Tensor = ((in_full(x) - units["centre"]) / units["scale"]).float()
    return found


def in_full(x: Tensor) -> Tensor:
    """Rows in at least single precision."""
    return x if x.dtype == torch.float64 else x.float()


def start_of(module: nn.Module, outputs: int, classes: int) -> dict[str, Tensor]:
    """Weights of the features, and a head of zeros, whatever the number of classes."""
    own = {name: p.detach() for name, p in module.named_parameters()}
    return {**own, "head": torch.zeros(outputs + 1, classes)}


def logits(module: nn.Module, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Logits ``(n, K)`` of a network with these weights and this head."""
    own = {name: w for name, w in weights.items() if name != "head"}
    z = linear_heads.with_ones(functional_call(module, own, (x,)), learnt=True)
    found: Tensor = z * z.shape[1] ** 0.5 @ weights["head"]
    return found


def descend(
    module: nn.Module, weights: Mapping[str, Tensor], x: Tensor, labels: Tensor, steps: int, lr: float
) -> dict[str, Tensor]:
    """Weights of E tasks, each ``(E, ...)``, after steps of descent on the mean cross-entropy, without a graph.

    Raises:
        DivergedError: If a weight is not finite.
    """

    def loss(weights: Mapping[str, Tensor], x: Tensor, labels: Tensor) -> Tensor:
        found: Tensor = functional.cross_entropy(logits(module, weights, x), labels)
        return found

    found = {name: w.detach() for name, w in weights.items()}
    for _ in range(steps):
        slope = vmap(grad(loss))(found, x, labels)
        found = {name: (w - lr * slope[name]).detach() for name, w in found.items()}
    if not all(bool(torch.isfinite(w).all()) for w in found.values()):
        raise DivergedError(f"The inner steps diverged with inner_lr={lr:g}; use a smaller inner_lr")
    return found


def _centroids(z: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Means of the classes ``(K, F)``, and in a last column the variance of a feature about the mean of its class.

    One row of each class says nothing about that variance: then it is taken about the mean of all rows, an upper bound.
    """
    means = torch.stack([z[labels == k].mean(0) for k in range(classes)])
    about, free = (means[labels], len(z) - classes) if len(z) > classes else (z.mean(0), len(z) - 1)
    spread = ((z - about).square().mean(1).sum() / free).clamp_min(1e-12)
    return torch.cat([means, spread.expand(classes, 1)], 1)


def _nearest(z: Tensor, head: Tensor) -> Tensor:
    """Probabilities of spherical Gaussians about the centroids, of one variance."""
    apart = torch.cdist(z, head[:, :-1], compute_mode="donot_use_mm_for_euclid_dist").square()
    return torch.softmax(-0.5 * apart / head[:, -1], -1)
