"""Search for the mixture potential with the lowest loss on held-out samples.

Letters as in ``light_plan``; ``w, q`` weights of the components given x0 and given x1, ``m, n (K)`` their masses,
``C0, C1`` the covariances of x0 under w and of x1 under q.

Every search begins with a short alternation on few rows, from a large e down to the wanted one. An alternation takes
the weights of all points, and then for each component the Schroedinger bridge between its two Gaussians, which is
where L has no slope for given weights:

    ``S C0 S + e S = C1``, ``r = mean1 - S mean0``, ``alpha -> alpha n / m``.

The step in alpha alone never raises L (``log c`` lies below its tangent in c, ``-log v`` below Jensen's bound); the
step in r and S may, and is shortened until the whole does not. One component is solved in one step. Then:

* ``"lbfgs"``: a quasi-Newton method on the whole sample. For small e, where ``log c`` is nearly piecewise linear, the
  alternation creeps and this does not.
* ``"em"``: the alternation to its end.
* ``"adam"``: stochastic gradients on batches, as in the source.
"""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from interpolants.foundations.errors import DivergedError
from interpolants.generative.schrodinger.couplings.light_model import Coordinates, Model, Sums, loss, sums_of
from interpolants.generative.schrodinger.couplings.light_settings import LightTraining
from interpolants.generative.schrodinger.kmeans import kmeans

Row = dict[str, float]

_FIRST_ROWS, _MORE_ROWS = 4096, 8  # a search begins on few rows and goes on with eight times as many
_ANNEAL, _WARM = 4, 10  # alternations at each strength on the way down, and at the last one
_LBFGS_LOOK, _LBFGS_MEMORY = 10, 20  # iterations between two looks, and steps that it remembers
_SHORTEST = 1e-4  # of the step in offsets and slopes, tried before it is left out
_LEAST_MASS = 1e-6  # a component with less is left where it is
_TOLERANCE = 1e-4  # nats; a smaller gain on held-out points is none
_CHECK_EVERY = 250  # steps of Adam between two looks at the held-out points
_SLACK = (
    1e-2  # nats by which the last iterate of Adam may look worse than one before: chance, until it is more
)


@dataclass(frozen=True)
class Ends:
    """Centred and scaled samples to learn from and to judge by."""

    y0: Tensor
    y1: Tensor
    held0: Tensor
    held1: Tensor


class Search:
    """The search for the model that is best on the held-out samples."""

    def __init__(self, ends: Ends, e: float, settings: LightTraining, source: Generator) -> None:
        self.ends, self.e, self.settings, self.source = ends, e, settings, source
        self.variance1 = float(ends.y1.square().mean()) or 1.0
        self.steps, self.converged, self.stale = 0, False, 0
        self.history: list[Row] = []
        self.best: Model | None = None
        self.least = self.value = math.inf

    def run(self) -> Model:
        """The best model."""
        warm = self._warm()
        self.look(warm)
        if self.settings.method == "adam":
            self._descend(warm)
        else:
            self._whole(warm)
        assert self.best is not None
        return self.best

    def look(self, model: Model, **numbers: float) -> None:
        """Judge a model by the held-out samples, and keep it if it is the best."""
        value = loss(model, self.ends.held0, self.ends.held1, self.e)
        if not math.isfinite(value):
            remedy = "Usually the data are far wider than sqrt(eps), or hold one huge value: rescale, or raise eps."
            raise DivergedError(f"LightPlan: the loss became NaN or infinite at step {self.steps}. {remedy}")
        self.history.append({"step": self.steps, **numbers, "heldout": value})
        self.stale = 0 if value < self.least - _TOLERANCE else self.stale + 1
        slack = _SLACK if self.settings.method == "adam" else _TOLERANCE
        if value < self.least + slack:  # of two that are as good, the one that was trained for longer
            self.best, self.value = model, value
        self.least = min(value, self.least)

    @property
    def finished(self) -> bool:
        """Whether the last looks brought nothing."""
        self.converged = self.stale >= self.settings.patience
        return self.converged

    def start(self, e: float) -> Model:
        """Components on clusters or samples of x1, each the bridge of all x0 to its own share."""
        y1, k = self.ends.y1, self.settings.n_components
        dim, full = y1.shape[1], self.settings.covariance == "full"
        # A quarter of a thousand points per cluster place it well enough.
        some = y1[torch.randperm(len(y1), generator=self.source)[: max(250 * k, 5000)].to(y1.device)]
        if self.settings.init == "kmeans":
            clusters = kmeans(some, k, generator=self.source)
            offsets = clusters.centres
            within = (some - offsets[clusters.labels]).square().mean()
        else:
            offsets = some[:k].clone()
            within = self.variance1 * some.new_ones(()) * k ** (-2 / dim)
        c1 = within.clamp_min(self.settings.floor * self.variance1)
        slope = 2 * c1 / (e + (e * e + 4 * self.ends.y0.square().mean() * c1).sqrt())
        slopes = slope.expand(k, dim).clone()
        # Then the weights given x0 are those of the nearest offset, which no component is left without.
        log_alpha = -offsets.square().sum(1) / (2 * e)
        return Model(log_alpha, offsets, slopes.diag_embed() if full else slopes)

    def _warm(self) -> Model:
        """A short alternation on few rows while the strength falls to the wanted one."""
        level, model = max(1.0, self.e), None
        while True:
            model = self.start(level) if model is None else model
            step = self._alternation(_FIRST_ROWS, level)
            for _ in range(_ANNEAL if level > self.e else _WARM):
                model = step.advance(model)
            if level <= self.e:
                return model
            below = max(level / 2, self.e)
            # The potential in data units, e log alpha, is what one strength hands to the next.
            model = Model(model.log_alpha * (level / below), model.offsets, model.slopes)
            level = below

    # --- the whole sample

    def _alternation(self, rows: int, e: float) -> "Alternation":
        return Alternation(self.ends.y0[:rows], self.ends.y1[:rows], e, self.settings.floor * self.variance1)

    def _whole(self, model: Model) -> None:
        """Iterations on more and more rows, until all of them help no more."""
        most = 400 if self.settings.steps is None else self.settings.steps
        rows, largest = _FIRST_ROWS, max(len(self.ends.y0), len(self.ends.y1))
        while self.steps < most:
            rows *= _MORE_ROWS
            self.stale = 0
            search = self._alternation(rows, self.e)
            searcher = search if self.settings.method == "em" else QuasiNewton(search, model)
            while self.steps < most and not self.finished:
                some = min(_LBFGS_LOOK, most - self.steps)
                model = searcher.several(model, some)
                self.steps += some
                self.look(model, loss=search.value)
            if rows >= largest:
                return

    # --- stochastic gradients

    def _descend(self, model: Model) -> None:
        settings, ends = self.settings, self.ends
        most = 10_000 if settings.steps is None else settings.steps
        point = Coordinates.of(model)
        adam = Adam(point.flat, settings.lr, most)
        least = settings.floor * self.variance1 / self.e
        while self.steps < most:  # to the end: the best is known when the rate has fallen
            some = min(_CHECK_EVERY, most - self.steps)
            shape = (some, settings.batch_size)
            rows0, rows1 = (
                torch.randint(len(y), shape, generator=self.source).to(y.device) for y in (ends.y0, ends.y1)
            )
            for i0, i1 in zip(rows0, rows1, strict=True):
                adam.step(batch_gradient(point, ends.y0[i0], ends.y1[i1], self.e))
            point.bound(least)
            self.steps += some
            self.look(point.model())


def batch_gradient(point: Coordinates, y0: Tensor, y1: Tensor, e: float) -> Tensor:
    """The gradient of the loss on a batch, by the coordinates."""
    model = point.model()
    sums0 = sums_of(y0, model.natural0(e), model.full)
    sums1 = sums_of(y1, model.natural1(e), model.full)
    return point.gradient(model, sums0, sums1, e)


class Alternation:
    """Steps of the alternation at one strength on a fixed set of rows."""

    def __init__(self, y0: Tensor, y1: Tensor, e: float, floor: float) -> None:
        self.y0, self.y1, self.e, self.floor = y0, y1, e, floor
        self.length, self.value = 1.0, math.inf
        self.known: tuple[Model, Sums, Sums] | None = None

    def several(self, model: Model, count: int) -> Model:
        """So many steps."""
        for _ in range(count):
            model = self.advance(model)
        return model

    def advance(self, model: Model) -> Model:
        """The next model; its loss is ``value``."""
        if self.known is None or self.known[0] is not model:
            self.known = self.at(model)
        _, sums0, sums1 = self.known
        before, target = sums0.value - sums1.value, self._target(model, sums0, sums1)
        while True:
            here = self.at(between(model, target, self.length))
            self.value = here[1].value - here[2].value
            if self.value <= before + 1e-12 * abs(before) or self.length == 0:
                break
            self.length = self.length / 2 if self.length > _SHORTEST else 0.0
        # A step that went well is made longer next time.
        self.length = min(1.0, max(2 * self.length, _SHORTEST))
        self.known = here
        return here[0]

    def at(self, model: Model) -> tuple[Model, Sums, Sums]:
        """The model with its sums over both ends."""
        sums0 = sums_of(self.y0, model.natural0(self.e), model.full)
        return model, sums0, sums_of(self.y1, model.natural1(self.e), model.full)

    def _target(self, model: Model, sums0: Sums, sums1: Sums) -> Model:
        """For each component the bridge between its Gaussians under the present weights."""
        least = torch.finfo(sums0.mass.dtype).tiny
        mass0, mass1 = sums0.mass.clamp_min(least), sums1.mass.clamp_min(least)
        alive = (mass0 > _LEAST_MASS) & (mass1 > _LEAST_MASS)
        mean0, cov0 = moments(mass0, sums0)
        mean1, cov1 = moments(mass1, sums1)
        if model.full:
            eye = torch.eye(mean0.shape[1], dtype=mean0.dtype, device=mean0.device)
            cov0, cov1 = (torch.where(alive[:, None, None], c, eye) for c in (cov0, cov1))
            slopes = riccati(cov0, cov1 + self.floor * eye, self.e)
            moved = torch.einsum("kde,ke->kd", slopes, mean0)
            slopes = torch.where(alive[:, None, None], slopes, model.slopes)
        else:
            c0, c1 = cov0.clamp_min(0), cov1.clamp_min(0) + self.floor
            slopes = 2 * c1 / (self.e + (self.e**2 + 4 * c0 * c1).sqrt())
            moved = slopes * mean0
            slopes = torch.where(alive[:, None], slopes, model.slopes)
        offsets = torch.where(alive[:, None], mean1 - moved, model.offsets)
        # A weight that is off by many orders of magnitude comes back by as many steps of exp(20).
        log_alpha = model.log_alpha + (mass1 / mass0).log().clamp(-20, 20)
        return Model(log_alpha - log_alpha.max(), offsets, slopes)


def between(model: Model, target: Model, length: float) -> Model:
    """All the way in alpha, and ``length`` of the way in the rest."""
    offsets = torch.lerp(model.offsets, target.offsets, length)
    return Model(target.log_alpha, offsets, torch.lerp(model.slopes, target.slopes, length))


def moments(mass: Tensor, sums: Sums) -> tuple[Tensor, Tensor]:
    """Mean and covariance (or variances) of each component's points."""
    mean = sums.first / mass[:, None]
    if sums.second.ndim == 2:
        return mean, sums.second / mass[:, None] - mean.square()
    covariance = sums.second / mass[:, None, None] - mean[:, :, None] * mean[:, None, :]
    return mean, (covariance + covariance.mT) / 2


def riccati(c0: Tensor, c1: Tensor, e: float) -> Tensor:
    """The positive solution of ``S C0 S + e S = C1``, batched: with ``C1 = L L^T``, ``S = L Z L^T``.

    Then ``Z M Z + e Z = Id`` for ``M = L^T C0 L``, which is diagonal where M is; C0 need not be invertible.
    """
    root = torch.linalg.cholesky(c1)
    middle = root.mT @ c0 @ root
    values, vectors = torch.linalg.eigh((middle + middle.mT) / 2)
    z = 2 / (e + (e * e + 4 * values.clamp_min(0)).sqrt())
    turned = root @ vectors
    slopes: Tensor = (turned * z[:, None, :]) @ turned.mT
    return (slopes + slopes.mT) / 2


class QuasiNewton:
    """Limited-memory BFGS on the coordinates of the model, over the rows of an alternation."""

    def __init__(self, rows: Alternation, model: Model) -> None:
        self.rows = rows
        (self.k, self.dim), self.full = model.offsets.shape, model.full
        self.point = nn.Parameter(Coordinates.of(model).flat)
        self.optimizer = torch.optim.LBFGS(
            [self.point],
            max_iter=1,
            max_eval=25,
            history_size=_LBFGS_MEMORY,
            tolerance_grad=0.0,
            tolerance_change=0.0,
            line_search_fn="strong_wolfe",
        )

    def several(self, model: Model, count: int) -> Model:
        """So many iterations, from where the last ones ended."""
        for _step in range(count):
            self.rows.value = float(self.optimizer.step(self._closure))  # type: ignore[no-untyped-call]
        return self._here().model()

    def _here(self) -> "Coordinates":
        return Coordinates(self.point.detach().clone(), self.k, self.dim, self.full)

    def _closure(self) -> Tensor:
        here = self._here()
        model, sums0, sums1 = self.rows.at(here.model())
        self.point.grad = here.gradient(model, sums0, sums1, self.rows.e)
        return self.point.new_tensor(sums0.value - sums1.value)


class Adam:
    """Adam on one vector, in place, its rate falling like a cosine."""

    def __init__(self, point: Tensor, lr: float, most: int) -> None:
        self.point, self.lr, self.most, self.step_count = point, lr, most, 0
        self.mean, self.square = torch.zeros_like(point), torch.zeros_like(point)

    def step(self, gradient: Tensor) -> None:
        """One step down."""
        lr = self.lr * 0.5 * (1 + math.cos(math.pi * self.step_count / self.most))
        self.step_count += 1
        self.mean.lerp_(gradient, 0.1)
        self.square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        correction0, correction1 = 1 - 0.9**self.step_count, 1 - 0.999**self.step_count
        norm = self.square.sqrt().div_(math.sqrt(correction1)).add_(1e-8)
        self.point.addcdiv_(self.mean, norm, value=-lr / correction0)
