"""Learn whole samples once, restore measurements of any kind afterwards."""

import inspect
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor

from interpolants.fields.learned import LearnedFields
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.registry import build
from interpolants.foundations.types import Condition
from interpolants.guidance.red_diff import REDDiff, Restored
from interpolants.methods.flow_settings import train_settings
from interpolants.operators.measurement import Operator, as_operator
from interpolants.paths.path import Path
from interpolants.training.pairs import Learnt, learn_fields


class PriorRestoration:
    """A diffusion of whole samples, and RED-diff with it for any differentiable measurement ``y = H(x) + noise``.

    ::

        model = PriorRestoration(operator={"kind": "downsample", "factor": 2}).fit(images)
        fine = model.restore(coarse).x
        again = model.restore(y, operator=other).x                 # another measurement, the same network

    The network never sees the measurement: nothing is trained again for another one. Where pairs can be made and the
    task is fixed, ``bridges.Restoration`` learns it and answers in one run of the sampler.

    Args:
        operator: H: the id of a card, a table ``{"kind": id, **settings}``, or what ``REDDiff`` takes.
        path: Id or table of a one-sided path with a Gaussian base, or a ``Path``.
        restore: Settings of ``guidance.REDDiff``: ``n_steps``, ``strength``, ``noise`` ...
        net: ``"auto"``, a card's id or a table, or an ``nn.Module``.
        seed: Seed of weights and training, >= 0.
        train: Settings of the training loop, a table over our defaults or ``TrainSettings``.

    Attributes:
        learnt: Fields, network and training, after ``fit``.

    Raises:
        InvalidInputError: If a setting is unknown or out of range.

    Source: Mardani et al. (2023), arXiv:2305.04391.
    """

    def __init__(
        self,
        operator: Any,
        *,
        path: Any = "vp",
        restore: Mapping[str, Any] | None = None,
        net: Any = "auto",
        seed: int = 0,
        train: Any = None,
    ) -> None:
        self.operator = _operator(operator)
        self.settings = train_settings(train, seed, "PriorRestoration")
        self.options, self._path, self._net = dict(restore or {}), path, net
        self._check_settings()
        self.learnt: Learnt | None = None
        self._mean: Tensor | None = None
        self._residuals: tuple[float, float] | None = None

    def _check_settings(self) -> None:
        """Refuse what RED-diff would refuse after the training."""
        known = [name for name in inspect.signature(REDDiff).parameters if name not in ("fields", "operator")]
        for name in self.options:
            if name not in known:
                rule = "every setting of restore must be known"
                raise invalid("PriorRestoration", rule, repr(name), nearest(name, known))
        path = self._path if isinstance(self._path, Path) else _path(self._path, (1,))
        REDDiff(LearnedFields(path, noise=_nothing), self.operator, **self.options)

    def fit(self, x0: Tensor | None, x1: Tensor | None = None, *, progress: bool = False) -> Self:
        """Learn from whole samples.

        Args:
            x0: Whole samples ``(N, *D)`` in the units that H measures; not read when ``x1`` is given.
            x1: Whole samples.
            progress: Show a progress bar.

        Raises:
            InvalidInputError: If there are none, or the path does not fit.
        """
        whole = x0 if x1 is None else x1
        if whole is None:
            raise invalid("PriorRestoration.fit", "there must be whole samples", "none")
        path = self._path if isinstance(self._path, Path) else _path(self._path, tuple(whole.shape[1:]))
        self.learnt = learn_fields(
            path, None, whole, heads=("noise",), net=self._net, settings=self.settings, progress=progress
        )
        self._mean = whole.mean(0)
        return self

    def restore(self, y: Tensor, *, operator: Any = None, seed: int = 0) -> Restored:
        """An answer to each measurement.

        Args:
            y: Measurements ``(n, *M)``.
            operator: H, where it is not the one given at the beginning.
            seed: Seed of RED-diff's noise.

        Returns:
            Answers ``x (n, *D)`` with their residuals. They start from the operator's pseudo-inverse, or from the mean
            of the training samples where it has none.

        Raises:
            InvalidInputError: If it is not fitted, or measurements and operator do not fit.
        """
        if self.learnt is None or self._mean is None:
            raise invalid(
                "PriorRestoration", "it must be fitted", "one that is not", "Call fit(samples) first."
            )
        chosen = self.operator if operator is None else _operator(operator)
        start = None if chosen.has_pinv else self._mean.to(y).expand(len(y), *self._mean.shape)
        return REDDiff(self.learnt.fields, chosen, **self.options).restore(y, start=start, seed=seed)

    def transport(self, x: Tensor, *, reverse: bool = False, seed: int = 0) -> Tensor:
        """Measure whole samples and restore them, ``(n, *D)``: what a test asks for.

        Args:
            x: Whole samples.
            reverse: Only measure them: the pseudo-inverse of each measurement.
            seed: As in :meth:`restore`.
        """
        with torch.no_grad():
            y = self.operator(x)
        if reverse:
            return self.operator.pinv(y)
        done = self.restore(y, seed=seed)
        first, last = (float((done.misfit[k].mean() / y[0].numel()).sqrt()) for k in (0, -1))
        self._residuals = first, last
        return done.x

    def summary(self) -> dict[str, float]:
        """Loss of the last logged step; root mean squared residuals before and after the last transport."""
        found = {}
        if self.learnt is not None:
            found["loss"] = float(self.learnt.result.history[-1]["loss"])
        if self._residuals is not None:
            found["residual_at_the_start"], found["residual"] = self._residuals
        return found


def _nothing(x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
    return torch.zeros_like(x)


def _operator(operator: Any) -> Operator:
    if isinstance(operator, str):
        return _operator({"kind": operator})
    if isinstance(operator, Mapping):
        settings = dict(operator)
        built = build("operator", str(settings.pop("kind", None)), **settings)
        assert isinstance(built, Operator)
        return built
    return as_operator("PriorRestoration", operator)


def _path(path: Any, shape: tuple[int, ...]) -> Path:
    """A path from its id or table, with a Gaussian base of the samples' shape."""
    settings = {"kind": path} if isinstance(path, str) else dict(path)
    built = build("path", str(settings.pop("kind", None)), **{"base": Gaussian(shape), **settings})
    assert isinstance(built, Path)
    return built
