"""How a learnt prior answers a measurement: posterior draws, the mean at a known noise, or noise and back.

Letters: ``x_t = beta x1 + alpha L z`` states of the prior's path.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Protocol, runtime_checkable

import torch
from annotated_types import Ge, Interval, MinLen
from torch import Tensor

from interpolants.dynamics.renoise import renoise
from interpolants.fields.protocol import Fields
from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Count, Each, NonNegative, Positive
from interpolants.foundations.randomness import key
from interpolants.foundations.types import Condition
from interpolants.framework.frames import Frame
from interpolants.guidance.pseudo_inverse import PseudoInverseSampler
from interpolants.guidance.red_diff import REDDiff
from interpolants.methods.parts.choices import member
from interpolants.operators.identity import Identity
from interpolants.operators.measurement import Measurement, Operator
from interpolants.paths.from_gaussian import gaussian_path

_Inside = Annotated[float, Interval(gt=0, lt=1), Each("every time")]


@dataclass(frozen=True)
class Job:
    """Measurements to be answered.

    Attributes:
        fields: The prior, in the units of the frame.
        frame: From data units to those.
        operator: H, of data units.
        encoded: H of states in the units of the frame.
        y: Measurements ``(B, *M)``.
        start: Where an optimiser begins, ``(B, *D)`` in the units of the frame.
        cond: Condition of the fields.
    """

    fields: Fields
    frame: Frame
    operator: Operator
    encoded: Measurement
    y: Tensor
    start: Tensor
    cond: Condition


@runtime_checkable
class Solver(Protocol):
    """A way to answer."""

    def restored(self, job: Job, seed: int) -> Tensor:
        """One answer to each measurement, ``(B, *D)`` in the units of the frame."""
        ...


@dataclass(frozen=True)
class PointByREDDiff:
    """A point near a mode, by ``guidance.REDDiff`` with its settings."""

    settings: Mapping[str, Any]

    def restored(self, job: Job, seed: int) -> Tensor:
        """See the class."""
        solver = REDDiff(job.fields, job.encoded, **self.settings)
        return solver.restore(job.y, start=job.start, cond=job.cond, seed=seed).x


@dataclass(frozen=True, kw_only=True)
class PosteriorDraws(Checked):
    """Draws of the posterior for a linear H, by ``guidance.PseudoInverseSampler``."""

    noise: NonNegative = 0.0
    """Standard deviation of the measurement's noise, in its units."""
    spread: Positive = 1.0
    """Standard deviation of an entry of x1, in standard units."""
    n_steps: Annotated[int, Ge(2)] = 50
    """Steps."""
    method: str = "ancestral"
    """Sampler. With a learnt prior the guidance is stiff: on brain slices of which 8 of 32 lines of k-space were
    measured, 12 steps of ``"midpoint"`` were 6 dB below 30 of ``"ancestral"`` (four images, one seed). For exact fields
    of Gaussians ``"midpoint"`` has the right variances, ``"ancestral"`` too small ones."""

    def restored(self, job: Job, seed: int) -> Tensor:
        """See the class."""
        settings: dict[str, Any] = asdict(self)
        # Rows agree to a tolerance only; the probe for bits would take two thirds of the time, at each draw anew.
        sampler = PseudoInverseSampler(job.fields, job.encoded, invariant=False, **settings)
        return sampler.restore(job.y, event_shape=job.start.shape[1:], cond=job.cond, seed=seed)


@dataclass(frozen=True, kw_only=True)
class KnownNoise(Checked):
    """Denoising ``y = x1 + noise``: the posterior mean by one evaluation, at the time with that noise.

    Where ``alpha/beta`` is the noise in standard units, ``beta y`` is a state of the path, and ``E[x1|x_t]`` the mean.
    """

    noise: Positive
    """Standard deviation of the noise, in data units."""

    def restored(self, job: Job, seed: int) -> Tensor:
        """See the class."""
        path, base = gaussian_path("known_noise", job.fields.path)
        scale = _unit(job) * float(base.shared_scale or 1.0)
        t = path.time_at_log_snr(-2 * torch.tensor(self.noise / scale, dtype=torch.float64).log())
        x = path.beta(t).to(job.start) * job.frame.encode(_picture(job, "known_noise")).to(job.start)
        with torch.no_grad():
            return job.fields.evaluate(x, t.to(x), ("denoised",), job.cond)["denoised"]


@dataclass(frozen=True, kw_only=True)
class Renoise(Checked):
    """Noise is put on y, and the mean end point taken: what the prior does not know, such as a lesion, is lost.

    What is lost in one round still speaks for itself in the noisy state. In further rounds it does so less: where the
    answer m differs from y, it has taken the place of y, ``y + (1 - exp(-(m - y)^2 / threshold^2)) (m - y)``, before
    noise is put on again. Higher times keep more of the image, and with rounds they lose the lesion all the same.

    Source: Wyatt et al. (2022), CVPR Workshops, 650, for one round; Bercea et al. (2023), arXiv:2305.19643, for a mask
    of what differs, which is soft here and made anew in each round.
    """

    times: Annotated[tuple[_Inside, ...], MinLen(1)] = (0.5,)
    """Times of the path to go back to; answers are averaged over them."""
    rounds: Count = 1
    """How often that is done."""
    threshold: Positive = 0.4
    """Difference that counts as one, in standard units; without effect in one round."""

    def restored(self, job: Job, seed: int) -> Tensor:
        """See the class."""
        x = job.frame.encode(_picture(job, "renoise")).to(job.start)
        found = [self._back(job, x, time, seed + k) for k, time in enumerate(self.times)]
        return torch.stack(found).mean(0)

    def _back(self, job: Job, x: Tensor, time: float, seed: int) -> Tensor:
        """The mean end point after all rounds at one time."""
        kept, t = x, torch.tensor(time).to(x)
        for k in range(self.rounds):
            noisy = renoise(job.fields.path, kept, 1.0, time, seed=key(seed, "renoise round", k) >> 32)
            with torch.no_grad():
                found = job.fields.evaluate(noisy, t, ("denoised",), job.cond)["denoised"]
            gap = found - x
            kept = x + (1 - torch.exp(-(gap / self.threshold).square())) * gap
        return found


RED_DIFF = "red_diff"


def choose_solver(who: str, solver: Any) -> Any:
    """A solver from itself, its id or a table ``{"kind": id, **settings}``; ``"red_diff"`` stays the word.

    Raises:
        InvalidInputError: If there is none of that name, or a setting is unknown or out of range.
    """
    if isinstance(solver, Solver) or solver == RED_DIFF:
        return solver
    return member(who, "prior_solver", solver)


def _picture(job: Job, who: str) -> Tensor:
    """The measurement, where it is a state with noise."""
    if not isinstance(job.operator, Identity):
        remedy = "Use solver='posterior_draws', or operator='identity'."
        raise invalid(who, "H must be the identity", type(job.operator).__name__, remedy)
    return job.y


def _unit(job: Job) -> float:
    """Data units in one unit of the frame.

    Raises:
        InvalidInputError: If entries have different units.
    """
    zero, one = (job.frame.decode(torch.full_like(job.start[:1], v, dtype=torch.float64)) for v in (0.0, 1.0))
    units = (one - zero).flatten()
    if float(units.max() - units.min()) > 1e-6 * float(units.max()):
        rule = "all entries must have one unit"
        raise invalid(
            "known_noise", rule, f"{float(units.min()):.3g} to {float(units.max()):.3g}", "Fit on images."
        )
    return float(units.mean())
