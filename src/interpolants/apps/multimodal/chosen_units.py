"""Units of linked modalities, chosen by the errors of expected values on held-out rows; comparison with a Gaussian."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from interpolants.apps.multimodal.linked_gaussian import LinkedGaussian
from interpolants.apps.multimodal.modality_roles import is_there
from interpolants.apps.multimodal.shared_space import Modality
from interpolants.foundations.tell import FitWarning, tell

# Most held-out rows that are looked at, and most columns of the Gaussian, whose systems grow with their cube.
_ROWS, _MOST_COLUMNS = 256, 1024
# Standard errors by which the Gaussian must be better.
_SURE = 2.0

Expect = Callable[[dict[str, Tensor]], Mapping[str, Any]]


def errors_of(
    expect: Expect, held: Mapping[str, Tensor], parts: Mapping[str, Modality], targets: Sequence[str]
) -> dict[str, tuple[Tensor, Tensor]]:
    """Squared errors of each target given all other modalities, and of its mean, ``(B,)`` each.

    Args:
        expect: From the known modalities by name to the means of the others: rows ``(B, *D)``, labels ``(B, k)``.
        held: Held-out rows by modality.
        parts: The modalities.
        targets: Names of those that are expected.
    """
    found = {}
    for name in targets:
        others = {other: held[other][:_ROWS] for other in parts if other != name}
        value = held[name][:_ROWS]
        there = torch.stack([is_there(other) for other in others.values()]).any(0) & is_there(value)
        if not bool(there.any()):
            continue
        mean = torch.as_tensor(expect({other: rows[there] for other, rows in others.items()})[name])
        truth = _columns(value[there], parts[name])
        middle = parts[name].mean(torch.zeros(1, *parts[name].shape)).flatten(1)
        errors = [(truth - guess).square().sum(1) for guess in (mean.double().flatten(1), middle)]
        found[name] = errors[0], errors[1]
    return found


def _columns(value: Tensor, part: Modality) -> Tensor:
    if part.is_label:
        return torch.nn.functional.one_hot(value.clamp(0, part.size - 1), part.size).double()
    return value.double().flatten(1)


def unexplained(errors: Mapping[str, tuple[Tensor, Tensor]]) -> float:
    """Fraction of the squared error of the mean that is left, averaged over the targets."""
    shares = [float(error.sum() / base.sum().clamp_min(1e-300)) for error, base in errors.values()]
    return sum(shares) / len(shares) if shares else float("nan")


def tell_of_usual_units(small: Sequence[str]) -> None:
    """Warn that units were not compared; those of small modalities are uncorrelated."""
    units = f"units of {', '.join(small)} are uncorrelated" if small else "no units are uncorrelated"
    message = f"whiten='auto' needs held-out rows of all modalities to compare units; {units}, which can be much worse"
    tell(FitWarning, f"MultimodalDiffusion.fit: {message}. Pass held=, or set whiten=True or False.")


def warn_if_linear_is_better(
    own: Mapping[str, tuple[Tensor, Tensor]],
    data: Mapping[str, Tensor],
    held: Mapping[str, Tensor],
    parts: Mapping[str, Modality],
    modalities: Mapping[str, str],
) -> None:
    """Warn of targets that a Gaussian of all columns, fitted to the same rows, expects better.

    Args:
        own: Errors of the model, as :func:`errors_of` returns them.
        data: Training rows.
        held: Held-out rows.
        parts: The modalities.
        modalities: Their kinds by name.
    """
    whole = torch.stack([is_there(data[name]) for name in modalities]).all(0)
    if sum(part.size for part in parts.values()) > _MOST_COLUMNS or int(whole.sum()) < 2:
        return
    rival = LinkedGaussian(modalities=modalities).fit(**{name: data[name] for name in modalities})
    for name, (theirs, _) in errors_of(lambda known: rival.expect(**known), held, parts, list(own)).items():
        error, base = own[name]
        gap = error - theirs
        if len(gap) < 2 or float(gap.mean()) <= _SURE * float(gap.std()) / len(gap) ** 0.5:
            continue
        shares = [float(part.sum() / base.sum()) for part in (error, theirs)]
        told = f"of {len(gap)} held-out rows, a Gaussian of all columns expects {name} of the others better"
        numbers = f"it leaves {shares[1]:.2f} of the variance, the model {shares[0]:.2f}"
        remedy = "Take LinkedGaussian, train for longer (steps=), or set whiten= to the other units."
        tell(FitWarning, f"MultimodalDiffusion.fit: {told}: {numbers}. {remedy}")
