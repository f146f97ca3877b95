"""Kullback-Leibler divergence of two generative bridges from their fields, without densities or energies."""

from typing import Any

import torch
from torch import Tensor

from interpolants.foundations.asked import invalid
from interpolants.framework.method import Method
from interpolants.framework.question_form import Ask, question
from interpolants.framework.questions import About, Number
from interpolants.methods.bridge.fitted import FittedBridge
from interpolants.methods.mutual_information import information_forms, noise_of
from interpolants.methods.questions.distances import real_rows
from interpolants.metrics.estimate import Estimate
from interpolants.paths.from_gaussian import gaussian_path
from interpolants.paths.path import SpatiallyLinearPath

_NAMES = ("kl", "squared", "difference")
_FEWEST = 20


def _why_unavailable(question: Any, method: Method) -> str:
    if not isinstance(method, FittedBridge) or not method.first_path.is_one_sided:
        return "both models must be bridges on a one-sided path; fit Bridge('one_sided_linear')."
    if method.is_fitted and method.is_conditional:
        return "it was fitted with conditions, and the divergence is that of the marginal distributions."
    return ""


@question(
    needs="sample",
    numbers={
        "kl": About("KL divergence to the other model", "neither", "nats", "Mean of the two forms."),
        "squared": About("From the squared difference of the fields", "neither", "nats", "Never negative."),
        "difference": About(
            "From the difference of the errors", "neither", "nats", "Low where this model overfits."
        ),
    },
    cannot=_why_unavailable,
)
def kl(ask: Ask, *, other: Any = None, seed: int = 0) -> dict[str, Number]:  # prose: keep
    """KL divergence of the distribution of the rows from that of another model, by the fields of both.

    ``KL(p||q) = 1/2 int E_p|z_p - z_q|^2 d lambda`` over the log signal-to-noise ratio, z the predicted noise; equally
    the difference of the errors of the two predictions. It assumes that q has learnt where p has rows.

    Args:
        ask: Task and method; the method is p, and its test rows are used.
        other: The fitted bridge q, on the same path and in the same units.
        seed: Seed of levels and noise.
    """
    method, rows = ask.method, real_rows(ask.task, "x1")
    if not isinstance(other, FittedBridge) or not other.is_fitted:
        raise invalid("other must be a fitted Bridge", other, "Pass other=bridge.")
    if reason := _why_unavailable(None, other):
        raise invalid("other must be a bridge from a Gaussian without conditions", reason)
    if len(rows) < _FEWEST:
        raise invalid(f"at least {_FEWEST} held-out rows are required", len(rows))
    path, _ = gaussian_path("kl", method.fitted_path)
    x = method.encoded(rows)
    _check_comparable(path, x, other, rows)
    result = information_forms(path, noise_of(other.fields), noise_of(method.fields), x, seed)
    if result.means[1][0] - result.means[2][0] > max(0.05, 0.25 * abs(result.means[0][0])):
        ask.find("The two forms differ: one of the networks overfits.", remedy="Fit with more rows.")
    return {
        name: Estimate(value, error, len(x), name)
        for name, (value, error) in zip(_NAMES, result.means, strict=True)
    }


def _check_comparable(path: SpatiallyLinearPath, x: Tensor, reference: FittedBridge, rows: Tensor) -> None:
    """Check that both models add the same noise to the same rows: their paths and their units must agree."""
    second, t = reference.fitted_path, torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    agree = isinstance(second, SpatiallyLinearPath) and all(
        torch.allclose(getattr(path, name)(t), getattr(second, name)(t)) for name in ("alpha", "beta")
    )
    if not agree:
        raise invalid("both bridges must have the same path", f"{path.formula} and {type(second).__name__}")
    if rows.shape[1:] != reference.shape or not torch.allclose(
        reference.encoded(rows), x, rtol=1e-4, atol=1e-4
    ):
        remedy = "Fit both with standardize=False on rows in the same units."
        raise invalid("both bridges must have the same units", "other shapes, means or scales", remedy)
