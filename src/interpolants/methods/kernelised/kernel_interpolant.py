"""Kernelised interpolants: the velocity from noise to data by one linear system per time, without training.

Notation: ``x_t = (1 - t) z + t x1``, rate ``I' = x1 - z``, velocity ``b = E[I' | x_t]``; features with gradients J,
``K_t = E[J J^T]`` and ``r_t = E[J (I' - b_G)]``, where ``b_G`` is the velocity of the Gaussian fit (0 for a combination
of models); ``K_t w_t = r_t`` makes ``b_G + J^T w_t`` the closest of its form to b.

Errors of velocity and score are tied on this path, ``db = D* ds`` with ``D* = (1 - t)/t``. The noise with the
smallest Girsanov bound ``int E|db|^2 (1 + D/D*)^2 / (4 D) dt`` is ``D = D*``, that of the reversed noising. The
steps of ``method="ancestral"`` have this noise, at t = 0 too, where D* is infinite. They put the mean of x1 in place of
a draw, which loses variance at few steps. The flow is the alternative, and held-out rows decide.

Source: Coeurdoux, Lempereur, Cuvelle-Magar, Mallat & Vanden-Eijnden (2026), arXiv:2602.20070. Differences
from the paper: features are added to the Gaussian fit, which is the limit of a large ridge; held-out rows choose scale,
ridge and dynamics.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Interval
from torch import Tensor

from interpolants.dynamics.sample import Sampling
from interpolants.dynamics.sample import sample as run_dynamics
from interpolants.fields.learned import LearnedFields
from interpolants.foundations import asked
from interpolants.foundations.equal_rows import copies, together, uncut
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Count, Positive
from interpolants.foundations.randomness import generator
from interpolants.framework.capabilities import capability
from interpolants.framework.frames import Standard, Varying, Whitened, constant_columns, widened
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.likelihood.log_prob import Scoring
from interpolants.likelihood.log_prob import log_prob as flow_log_prob
from interpolants.methods.kernelised.features import Features, FieldFeatures, FourierFeatures, System
from interpolants.methods.kernelised.kernel_fields import (
    PATH,
    InUnits,
    KernelFields,
    KernelVelocity,
    gaussian_slope,
    units_of,
)
from interpolants.methods.parts.start_points import draw_base
from interpolants.metrics.energy_distance import energy_distance

# Ridges that held-out rows choose from, relative to the mean diagonal of K.
RIDGES = (1e-8, 1e-6, 1e-4, 1e-2, 1.0)
# Those of a combination of models: a large one would scale all weights down.
_MODEL_RIDGES = (1e-10, 1e-7, 1e-4)
# Every how many times settings are compared, and draws of held-out rows at each of these.
_EVERY, _HELD_DRAWS = 10, 4000
# Rows to which distances are taken: between rows for their median, and of samples to held-out rows.
_COMPARED = 1000
# Dynamics that held-out rows choose from: steps with the best noise lose a little variance each, and need many.
DYNAMICS: Mapping[str, Mapping[str, Any]] = {
    "flow": {"method": "midpoint", "n_steps": 50},
    "ancestral": {"method": "ancestral", "n_steps": 200},
}


class KernelInterpolant(Method):
    """Generative model of one linear system per time: no network, no training, seconds on one core.

    ::

        model = KernelInterpolant().fit(x1=rows)
        model.sample(1000)

        model = KernelInterpolant().fit(x1=held_out, models=[bridge_a, bridge_b])   # the best mixture over time
        model.weights                                                                # (T, 2)

    The velocity is that of the Gaussian fit plus a combination of gradients of random Fourier features, or a
    combination of the velocities of fitted models. Weights are the least-squares solution at each time. Held-out rows
    choose the scale of the features, the ridge, and whether samples follow the flow or the SDE with the best noise.

    Args:
        seed: Seed of features, draws and held-out rows.

    Raises:
        InvalidInputError: If a setting is out of range.

    Source: Coeurdoux et al. (2026), arXiv:2602.20070.
    """

    learns_rows: ClassVar[bool] = False

    features: Literal["fourier", "quadratic"] = "fourier"
    """``"fourier"`` for plane waves with random frequencies, added to the Gaussian fit, or ``"quadratic"`` for the
    Gaussian fit alone. A combination of models has no other features."""
    n_features: Count = 300
    """Number of plane waves."""
    scales: tuple[Positive, ...] = (0.1, 0.2, 0.4, 1.0)
    """Length scales to choose from, in units of the median distance between standardised rows."""
    times: Annotated[int, Ge(2)] = 50
    """Number of times with a system; weights are linear between them."""
    draws: Count | None = None
    """Draws of the path per time; None for 6,000, or 20 per feature if that is more."""
    held_out: Annotated[float, Interval(gt=0, le=0.5)] = 0.2
    """Fraction of the rows to choose by, unless ``held`` is passed to ``fit``; at most 2,000 rows."""

    def check_settings(self) -> None:
        """Check that there is a scale, and at least one draw per feature."""
        if not self.scales:
            raise asked.invalid("scales must name at least one length scale", self.scales)
        if self.draws is not None and self.features == "fourier" and self.draws < self.n_features:
            remedy = "Use fewer features, or omit draws."
            raise asked.invalid(f"draws must be at least n_features, {self.n_features}", self.draws, remedy)

    def roles(self) -> tuple[Role, ...]:
        """Rows, and fitted models to combine."""
        about = "fitted models whose velocities are combined"
        return (
            Role(name="x1", axis="x1"),
            Role(name="models", kind="models", axis="", needs="fields", optional=True, about=about),
        )

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Choose features and ridge, solve the systems, choose the dynamics."""
        models, x1 = data.get("models", []), data["x1"]
        if models and self.features == "quadratic":
            remedy = "Omit features: only the models are combined."
            raise invalid(
                "KernelInterpolant.fit", "features must be the default with models", "'quadratic'", remedy
            )
        rows, held_out = self._split(x1, run.held.get("x1"))
        state: dict[str, Any] = {"models": models, "frame": models[0].frame if models else _frame(rows)}
        state["units"] = [units_of("KernelInterpolant.fit", model, state["frame"], x1) for model in models]
        state["shape"] = tuple(state["frame"].encode(x1[:1].double()).shape[1:])
        state["times"] = 1 - (1 - torch.linspace(0, 1, self.times, dtype=torch.float64)) ** 2
        train_rows, held_rows = (state["frame"].encode(x.double()).flatten(1) for x in (rows, held_out))
        state |= run.once("choice", lambda source: self._choice(state, train_rows, held_rows, source))
        state["weights"] = self._solved(state, train_rows, run)
        state["dynamics"] = run.once("dynamics", lambda source: self._dynamics(state, held_out))
        return state

    def _split(self, x: Tensor, held_out: Tensor | None) -> tuple[Tensor, Tensor]:
        """Rows to solve by and rows to choose by; copies of a row are on one side."""
        if held_out is not None:
            return x, held_out
        first = copies(x)
        order = together(torch.randperm(len(x), generator=generator(self.seed, "held out")), first)
        n = uncut(order, first, min(2000, max(2, round(self.held_out * len(x)))))
        if len(x) - n < 2:
            rule, remedy = "x1 must have at least 4 rows, to solve and to choose by", "E.g. GaussianFit."
            raise invalid("KernelInterpolant.fit", rule, len(x), remedy)
        return x[order[n:]], x[order[:n]]

    # --- the systems

    def _draws(self, count: int) -> int:
        return self.draws or max(6000, 20 * count)

    def _choice(self, state: Any, train_rows: Tensor, held_rows: Tensor, source: Any) -> dict[str, Any]:
        """Features and ridge with the smallest held-out loss at a tenth of the times."""
        models = bool(state["models"])
        tried = (
            [_no_waves(train_rows.shape[1])] if models else self._tried(state["frame"], train_rows, source)
        )
        ridges = _MODEL_RIDGES if models else RIDGES
        # Features that explain nothing on held-out rows are dropped: the Gaussian fit remains.
        best = {**_no_waves(train_rows.shape[1]), "ridge": 1.0, "held_out_loss": 0.0}
        index = torch.linspace(0.1, 0.9, max(3, self.times // _EVERY)) * (self.times - 1)
        times = state["times"][index.round().long()]
        for candidate in tried:
            features = _features({**state, **candidate})
            losses = torch.zeros(len(ridges), dtype=torch.float64)
            for k, t in enumerate(times):
                # The same draws for all scales.
                source, held_source = (
                    generator(self.seed, f"kernel {kind} draws", k) for kind in ("", "held")
                )
                draws = _path_draws(t, train_rows, self._draws(features.count), source, models)
                train = System.of(features, *draws)
                held_out = System.of(features, *_path_draws(t, held_rows, _HELD_DRAWS, held_source, models))
                losses += torch.tensor([held_out.loss(train.solve(ridge)[0]) for ridge in ridges]) / len(
                    times
                )
            k = int(losses.argmin())
            if models or float(losses[k]) < best["held_out_loss"]:
                best = {**candidate, "ridge": ridges[k], "held_out_loss": float(losses[k])}
        return best

    def _tried(self, frame: Any, train_rows: Tensor, source: Any) -> list[dict[str, Any]]:
        """Plane waves of each scale: the same directions and phases, so that scales alone differ."""
        if self.features == "quadratic":
            return []
        whitened: Any = frame.inner if isinstance(frame, Varying) else frame
        root = whitened.root
        # In standardised units, in which distances are those between rows, not between whitened ones.
        subset = train_rows[torch.randperm(len(train_rows), generator=source)[:_COMPARED]] @ root
        distances = torch.pdist(subset)
        if not bool((positive := distances > 0).any()):
            raise invalid("KernelInterpolant.fit", "rows of x1 must differ", "equal rows")
        median = float(distances[positive].median())
        draw = {"dtype": torch.float64, "generator": source}
        directions = root @ torch.randn(train_rows.shape[1], self.n_features, **draw).to(root)
        phases = 2 * torch.pi * torch.rand(self.n_features, **draw).to(root)
        return [
            {"scale": scale, "frequencies": directions / (scale * median), "phases": phases}
            for scale in self.scales
        ]

    def _solved(self, state: Mapping[str, Any], train_rows: Tensor, run: Run) -> Tensor:
        """Weights ``(T, P)``, one system per step of the stage."""
        features, models = _features(state), bool(state["models"])
        numbers: dict[str, float] = {}

        def solve(weights: Any, k: int, source: Any) -> Any:
            t = state["times"][k - 1]
            draws = _path_draws(t, train_rows, self._draws(features.count), source, models)
            weights[k - 1], effective = System.of(features, *draws).solve(state["ridge"])
            numbers.update(t=float(t), effective_features=effective)
            if models:
                numbers.update({f"weight_{i + 1}": value for i, value in enumerate(weights[k - 1].tolist())})
            return weights

        def start(source: Any) -> Any:
            return state["times"].new_zeros(self.times, features.count)

        options: dict[str, Any] = {"every": 10, "log": lambda weights: numbers, "log_every": 1}
        weights: Tensor = run.loop("systems", start, solve, self.times, **options)
        return weights

    # --- the dynamics

    def _dynamics(self, state: Any, held_out: Tensor) -> dict[str, Any]:
        """Energy distance to held-out rows, in standard units, of samples by each of the dynamics."""
        if len(held_out) < 4:
            return {"chosen": "flow", "energy_distance": {}}
        units, fields = Standard().fit(held_out[:_COMPARED].flatten(1)), _fields(state)
        real, distances = units.encode(held_out[:_COMPARED].flatten(1).double()), {}
        for name, how in DYNAMICS.items():
            samples = self._carried(state, fields, _COMPARED, self.seed, 0, Sampling(**how)).double()
            distance = energy_distance(units.encode(samples.flatten(1)), real)
            distances[name] = {"value": float(distance.value), "error": float(distance.error)}
        return {
            "chosen": min(distances, key=lambda name: distances[name]["value"]),
            "energy_distance": distances,
        }

    def _carried(
        self, state: Any, fields: LearnedFields, n: int, seed: int, first: int, how: Sampling
    ) -> Tensor:
        start = draw_base(PATH.base, state["shape"], n, seed, first).double()
        samples = run_dynamics(fields, start, how, seed=seed, first_index=first)
        decoded: Tensor = state["frame"].decode(samples.x)
        return decoded

    # --- answers

    @property
    def fields(self) -> LearnedFields:
        """Velocity, score and the rest on the linear path, in units of :attr:`frame`."""
        return _fields(self.fitted_state("fields"))

    @property
    def frame(self) -> Any:
        """Units of the fields: whitened columns, or those of the first of the combined models."""
        return self.fitted_state("frame")["frame"]

    @property
    def weights(self) -> Tensor:
        """Weights of features or models, ``(T, P)``, at the times :attr:`weight_times`."""
        weights: Tensor = self.fitted_state("weights")["weights"]
        return weights

    @property
    def weight_times(self) -> Tensor:
        """Times of the systems, ``(T,)``."""
        times: Tensor = self.fitted_state("weight_times")["times"]
        return times

    def caveat(self, verb: str) -> str:
        """Dynamics of the samples, with the held-out distances by which they were chosen."""
        if verb != "sample" or not self.is_fitted or not self.state["dynamics"]["energy_distance"]:
            return ""
        dynamics = self.state["dynamics"]
        values = {name: (row["value"], row["error"]) for name, row in dynamics["energy_distance"].items()}
        message = ", ".join(f"{name} {value:.2g} ± {error:.1g}" for name, (value, error) in values.items())
        (first, _), (second, _) = values.values()
        tie = abs(first - second) < max(error for _, error in values.values())
        verdict = ", which differ by less than their errors" if tie else ""
        return f"Samples follow {dynamics['chosen']!r}: energy distance to held-out rows {message}{verdict}."

    @capability(like="x1", passes=Sampling)
    def sample(
        self,
        /,
        n: Count,
        *,
        seed: int = 0,
        first_index: int = 0,
        method: str | None = None,
        n_steps: Count | None = None,
        **options: Any,
    ) -> Any:
        """Draw ``n`` samples by the dynamics that are closer to held-out rows.

        Args:
            n: Number of samples.
            seed: Seed of starts and noise.
            first_index: Index of the first sample in a larger job.
            method: Solver; None for that of the better dynamics, ``"midpoint"`` or ``"ancestral"``, unless ``eps`` is
                passed.
            n_steps: Number of steps; None for 50 by ``"midpoint"``, 200 by ``"ancestral"``, else 100.
            options: Settings of ``dynamics.Sampling``: ``eps``, ``time_grid``, ... The noise level is in units of the
                fields.

        Returns:
            ``(n, *D)`` in data units.
        """
        if options.get("reverse"):
            remedy = "Carry rows with dynamics.sample(model.fields, x, reverse=True)."
            raise asked.invalid("samples must be drawn from noise", "reverse=True", remedy)
        arguments = {"method": method, "n_steps": n_steps, **options}
        how = {name: value for name, value in arguments.items() if value is not None}
        if method is None and "eps" not in options:
            how = {**DYNAMICS[self.state["dynamics"]["chosen"]], **how}
        samples = self._carried(self.state, self.fields, n, seed, first_index, Sampling(**how))
        return widened(samples, self.given["x1"].torch_dtype)

    @capability(reads={"x": "x1"}, like="x", passes=Scoring)
    def log_prob(self, /, x: Tensor, *, seed: int = 0, first_index: int = 0, **options: Any) -> Any:
        """Log density of the flow at ``x``, in nats per row (data units).

        Args:
            x: Points ``(n, *D)`` in data units.
            seed: Seed of the probes of an estimated divergence.
            first_index: Index of the first row in a larger job.
            options: Settings of ``likelihood.Scoring``: ``divergence``, ``method``, ``n_steps`` ...

        Returns:
            ``(n,)``; minus infinity where a column that was constant in the fit has another value.
        """
        if options.get("end", 1) != 1:
            raise asked.invalid("end must be 1, the distribution of the data", options["end"])
        frame = self.frame
        y, outside = frame.encode(x.double()), frame.outside(x)
        scored = flow_log_prob(self.fields, y, PATH.base, seed=seed, first_index=first_index, **options)
        log_prob: Tensor = scored.shifted(frame.log_volume(x.double())).log_prob
        return log_prob.masked_fill(outside, -torch.inf)


def _no_waves(width: int) -> dict[str, Any]:
    empty = torch.zeros(width, 0, dtype=torch.float64)
    return {"frequencies": empty, "phases": empty.new_zeros(0), "scale": 0.0}


def _frame(rows: Tensor) -> Varying | Whitened:
    """Whitened units, in which N(0, I) is the Gaussian fit; without constant columns."""
    flat = constant_columns(rows.flatten(1))
    if bool(flat.all()):
        raise invalid("KernelInterpolant.fit", "x1 must have a column that varies", "rows that are all equal")
    return (
        Varying.of(rows, Whitened()).fit(rows)
        if rows.ndim == 2 and bool(flat.any())
        else Whitened().fit(rows)
    )


def _features(state: Mapping[str, Any]) -> Features:
    if not state["models"]:
        return FourierFeatures(state["frequencies"], state["phases"])
    return FieldFeatures(
        [
            InUnits(model.fields, unit["shape"], unit["factor"], unit["shift"])
            for model, unit in zip(state["models"], state["units"], strict=True)
        ]
    )


def _fields(state: Mapping[str, Any]) -> KernelFields:
    on_gaussian = not state["models"]
    return KernelFields(KernelVelocity(_features(state), state["times"], state["weights"], on_gaussian))


def _path_draws(
    t: Tensor, rows: Tensor, n: int, source: torch.Generator, models: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """States, time and targets of n draws: each row twice, with noise and minus this noise.

    Rows come in random order; the numbers of draws of two rows differ by at most one pair.
    """
    half = n // 2 + n % 2
    order = torch.cat([torch.randperm(len(rows), generator=source) for _ in range(-(-half // len(rows)))])
    x1 = rows[order[:half].to(rows.device)]
    z = torch.randn(x1.shape, dtype=torch.float64, generator=source).to(x1)
    x1, z = torch.cat([x1, x1]), torch.cat([z, -z])
    x = (1 - t) * z + t * x1
    target = x1 - z if models else x1 - z - gaussian_slope(t) * x
    return x, t, target
