"""Gaussian process regression whose scale is random: heavy tails, and a scale of its own for each data set."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from interpolants.foundations.asked import invalid, who
from interpolants.foundations.checks import number
from interpolants.foundations.errors import DivergedError
from interpolants.foundations.kinds import Answer, Count, Positive, Remedy
from interpolants.framework.answers import JointRows, Predictive
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.sciml.gp.kernels.infinite_width import NNGP
from interpolants.sciml.gp.scale_evidence import (
    Factored,
    Groups,
    gaussian_evidence,
    mixture_evidence,
    scale_posterior,
    student_evidence,
)

INFINITE = "infinite"
# Shape of the scale's law where one or few data sets do not tell it, and how many do.
_SHAPE, _TELLING = 2.0, 10
# Most entries of all covariances together: 1 GiB, and a few times that while they are learnt.
_MOST = 2**27
_LEAST = 1e-8
_FIRST = {"weight": math.sqrt(2), "bias": 0.3, "noise": 0.3}


_Learnt = Annotated[Literal["auto"] | Positive, Remedy("Or leave it to the fit: 'auto'.")]


class ScaleMixtureGP(Method):
    """``y | s ~ GP(0, s (K + noise^2))`` with ``s ~ inverse gamma(shape, rate)``, one scale s for each group of rows.

    Values of one group are then Student's t together, with ``2 shape`` degrees of freedom: their tails are heavy
    together, and the values that are known of a group tell its scale. K is the covariance of infinitely wide networks
    whose last layer has a random scale. All integrals over s are in closed form; shape, rate, kernel and noise maximise
    the sum of the groups' log evidences.

    ::

        model = ScaleMixtureGP().fit(points, values, group=names)   # points (N, D), values (N,), one name a row
        answer = model.predict(new_points, group=new_names)         # .mean, .quantile(0.95), .log_prob(values)

    Raises:
        InvalidInputError: If a setting is out of range, a group is not known, or covariances take too much memory.
        DivergedError: If a covariance is not positive definite.

    Source: Lee, Yun, Yang & Lee (2022), arXiv:2107.01408. Ours: groups, closed forms where they sample, one noise in
    training and predictions.
    """

    noun: ClassVar[str] = "process"
    only_cpu: ClassVar[str] = "its covariances are factored in float64"

    kernel: Literal["relu", "erf", "white"] = "relu"
    """Networks of the covariance; ``"white"``: values are independent given the scale."""
    depth: Count = 4
    """Hidden layers of the networks."""
    shape: Annotated[Literal["auto", "infinite"] | Positive, Remedy("'infinite' is a Gaussian process.")] = (
        "auto"
    )
    """Of the law of the scale; ``"infinite"`` is a Gaussian process, with one scale for all groups; ``"auto"`` is
    learnt from at least 10 groups, and 2 for fewer, which do not tell it."""
    rate: _Learnt = "auto"
    """Of the law, in squared units of the values; of a Gaussian process it is the scale itself. ``rate / shape`` is the
    typical scale: of an inverse gamma law near its mode, of a gamma law the mean, of a lognormal one the median."""
    weight: _Learnt = "auto"
    """Standard deviation of the networks' weights; ``"auto"``: learnt for erf, the root of 2 for relu, for which it is
    the same as the rate."""
    bias: _Learnt = "auto"
    """Standard deviation of their biases."""
    noise: _Learnt = "auto"
    """Standard deviation of the noise relative to the root of the scale. White has none."""
    prior: Literal["inverse_gamma", "gamma", "lognormal"] = "inverse_gamma"
    """Law of the scale. Answers of ``"inverse_gamma"`` are Student's t in closed form; those of ``"gamma"``, with mean
    ``rate / shape``, and ``"lognormal"``, ``log s ~ N(log(rate / shape), 1 / shape)``, are mixtures of Gaussians by
    quadrature over the scale."""
    law: Answer[Literal["posterior", "ensemble"]] = "posterior"
    """Of the scale in answers; ``"ensemble"``: that before any value was seen, which is the law of networks of which
    only the last layer was trained, by gradient flow, from random starts."""
    standardize: bool = True
    """Centre and scale columns of points and values over all rows."""
    steps: Count = 60
    """Most steps of L-BFGS."""

    def roles(self) -> tuple[Role, ...]:
        """Points, their values, and which rows share a scale."""
        return (
            Role(name="points", exact=True, about="Inputs, one row each."),
            Role(name="values", exact=True, about="Values, one column."),
            Role(name="group", kind="labels", optional=True, about="Rows of one data set share a scale."),
        )

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Hyperparameters by L-BFGS, then the factors of all groups."""
        x, values = data["points"], data["values"]
        if x.ndim != 2 or values.shape[1:] != (1,) or not len(x):
            shapes = f"points {tuple(x.shape)}, values {tuple(values.shape)}"
            rule = "points must have shape (N, D), values (N,) or (N, 1), N >= 1"
            raise invalid(rule, shapes)
        number(who(), "values", float(values.abs().max()))
        group = data.get("group")
        labels = torch.zeros(len(x), dtype=torch.long) if group is None else group
        known, codes = torch.unique(labels, return_inverse=True)
        frame = _Frame.of(x, values[:, 0], plain=not self.standardize)
        groups = Groups.of(frame.inputs(x), (values[:, 0] - frame.centre) / frame.scale, codes)
        if groups.seen.numel() * groups.seen.shape[1] > _MOST:
            gib = groups.seen.numel() * groups.seen.shape[1] * 8 / 2**30
            rule = "covariances of all groups, each as large as the largest, must fit in memory"
            raise invalid(rule, f"{gib:.1f} GiB", "Use fewer rows, or equal groups.")
        found = run.once("hyperparameters", lambda source: self._maximised(groups, frame))
        one = self._factored(groups, found)
        parts = {"factor": one.factor.contiguous(), "alpha": one.alpha, "energy": one.energy}
        about = {"known": known, "counts": groups.counts, "x": groups.x, "seen": groups.seen}
        evidence = float(self._evidence(one, groups.counts, found).sum())
        frame_state = {"low": frame.low, "unit": frame.unit, "centre": frame.centre, "scale": frame.scale}
        return {"found": found, "evidence": evidence, **parts, **about, **frame_state}

    # --- hyperparameters

    def _first(self, groups: Groups, frame: "_Frame") -> tuple[dict[str, Tensor], set[str]]:
        """Logarithms of first or given values, and which of them are learnt."""
        given = {name: getattr(self, name) for name in _FIRST}
        if self.kernel == "relu" and _is_auto(self.weight):
            given["weight"] = _FIRST["weight"]
        if self.kernel == "white":
            given = dict.fromkeys(given, 1.0)
        shape = math.inf if self.shape == INFINITE else self.shape
        if _is_auto(shape):
            shape = "auto" if len(groups.y) >= _TELLING else _SHAPE
        given |= {"shape": shape, "rate": self.rate}
        learnt = {name for name, value in given.items() if _is_auto(value)}
        starts = {**_FIRST, "shape": _SHAPE}
        found = {name: starts.get(name, 1.0) if name in learnt else float(v) for name, v in given.items()}
        # The ratio rate / shape is what is learnt: for infinite shapes it is the scale itself.
        ratio = math.nan if "rate" in learnt else found["rate"] / frame.scale**2
        finite = found["shape"] if math.isfinite(found["shape"]) else 1.0
        logs = {n: math.log(v) for n, v in found.items() if n != "rate" and math.isfinite(v)}
        logs["ratio"] = 0.0 if "rate" in learnt else math.log(ratio / finite)
        learnt = {"ratio" if name == "rate" else name for name in learnt}
        return {n: torch.tensor(v, dtype=torch.float64) for n, v in logs.items()}, learnt

    def _maximised(self, groups: Groups, frame: "_Frame") -> dict[str, Tensor]:
        """Logarithms of the hyperparameters with the greatest summed evidence, from one start."""
        found, learnt = self._first(groups, frame)
        if not learnt:
            return found
        free = [found[name].requires_grad_(True) for name in sorted(learnt)]
        search = torch.optim.LBFGS(free, max_iter=self.steps, line_search_fn="strong_wolfe")
        seen: list[float] = []

        def loss() -> Tensor:
            search.zero_grad()
            try:
                one = self._factored(groups, found)
            except (
                DivergedError
            ):  # a trial step too far: values without noise lead to covariances of full rounding
                if not seen:
                    raise
                return torch.tensor(max(seen) + 1.0, dtype=torch.float64)
            value = -self._evidence(one, groups.counts, found).sum() / groups.counts.sum()
            value.backward()  # type: ignore[no-untyped-call]
            seen.append(float(value.detach()))
            return value

        with torch.enable_grad():
            search.step(loss)  # type: ignore[no-untyped-call]
        done = {name: value.detach() for name, value in found.items()}
        if not all(bool(torch.isfinite(value)) for value in done.values()):
            raise DivergedError(
                "ScaleMixtureGP.fit: a hyperparameter became NaN or infinite. Set shape or noise."
            )
        return done

    def _evidence(self, one: Factored, counts: Tensor, found: Mapping[str, Tensor]) -> Tensor:
        """Log evidence of each group, nats of standardised values."""
        ratio = found["ratio"].exp()
        if "shape" not in found:
            return gaussian_evidence(one.energy, one.log_determinant, counts, ratio)
        a = found["shape"].exp()
        if self.prior != "inverse_gamma":
            return mixture_evidence(self.prior, one.energy, one.log_determinant, counts, a, ratio)
        return student_evidence(one.energy, one.log_determinant, counts, a, a * ratio)

    def _factored(self, groups: Groups, found: Mapping[str, Tensor]) -> Factored:
        """Covariances of noisy values, factored."""
        gram = self._covariance(groups.x, groups.x, found)
        noise = torch.ones((), dtype=torch.float64) if self.kernel == "white" else found["noise"].exp()
        eye = torch.eye(groups.y.shape[1], dtype=torch.float64)
        gram = groups.masked(gram + (noise.square() + _LEAST) * eye)
        try:
            return Factored.of(gram, groups.y)
        except RuntimeError as error:  # torch's LinAlgError is one
            told = "a covariance is not finite"
            if bool(torch.isfinite(gram).all()):
                smallest = float(torch.linalg.eigvalsh(gram.detach()).min())
                told = f"a covariance is not positive definite, its smallest eigenvalue is {smallest:.3g}"
            raise DivergedError(f"ScaleMixtureGP.fit: {told}. Use a larger noise.") from error

    def _covariance(self, x: Tensor, y: Tensor, found: Mapping[str, Tensor]) -> Tensor:
        """Covariance of the function at inputs, without scale; white has none."""
        if self.kernel == "white":
            return x.new_zeros(*x.shape[:-1], y.shape[-2])
        kernel = NNGP(self.depth, self.kernel)
        return kernel.covariance(x, y, weight=found["weight"].exp(), bias=found["bias"].exp())

    # --- what was found

    @property
    def scale_law(self) -> tuple[float, float]:
        """Shape and rate of the law of the scale, in squared units of the values; a Gaussian process has (inf, s).

        Rate over shape is the typical scale, whatever the `prior`.
        """
        state = self.fitted_state("scale_law")
        ratio = float(state["found"]["ratio"].exp()) * state["scale"] ** 2
        if "shape" not in state["found"]:
            return math.inf, ratio
        a = float(state["found"]["shape"].exp())
        return a, a * ratio

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise relative to the root of the scale."""
        return (
            1.0 if self.kernel == "white" else float(self.fitted_state("noise_std")["found"]["noise"].exp())
        )

    @property
    def log_evidence(self) -> float:
        """Log density of all values that were learnt from, in nats (data units)."""
        state = self.fitted_state("log_evidence")
        return float(state["evidence"] - state["counts"].sum() * math.log(state["scale"]))

    # --- answers

    @capability(reads={"x": "points"}, like="values", blocks=True)
    def predict(
        self,
        /,
        x: Tensor,
        group: Tensor | None = None,
        *,
        noise: bool = True,
        joint: bool = False,
        **settings: Any,
    ) -> Predictive:
        """Student's t of the value at each point, or a mixture of Gaussians, given all values of its group.

        Args:
            x: Inputs, ``(B, D)``.
            group: The group of each row, ``(B,)``; all must have been in the fit.
            noise: Of a measurement, with its noise; else of the function itself.
            joint: One distribution of all points together instead of one for each: the points of a group share one
                scale, groups are independent.
            settings: Settings of answers, for this call.
        """
        state, found = self.state, self.state["found"]
        index = self._index(x, group)
        inputs = ((x - state["low"]) / state["unit"])[:, None]
        across = self._covariance(inputs, state["x"][index], found)[:, 0] * state["seen"][index]
        own = self._covariance(inputs, inputs, found)[:, 0, 0]
        white = torch.linalg.solve_triangular(state["factor"][index], across[..., None], upper=False)
        mean = (across * state["alpha"][index]).sum(1)
        extra = (1.0 if self.kernel == "white" else found["noise"].exp().square()) if noise else 0.0
        variance = (own - white.square().sum((1, 2))).clamp_min(_LEAST) + extra
        df, scale, weight = self._scale_of(index)
        loc, std = state["centre"] + state["scale"] * mean, state["scale"] * (scale * variance).sqrt()
        together = None
        if joint:
            white, every = white[..., 0], inputs[:, 0]
            covariance = self._covariance(every, every, found) - white @ white.T
            together = JointRows.of(covariance[None], variance[None], index)
        std, loc = std.reshape(-1, len(x), 1), loc[None, :, None]
        return Predictive(loc=loc.expand_as(std), scale=std, df=df, log_weight=weight, joint=together)

    def _scale_of(self, index: Tensor) -> tuple[float | Tensor, Tensor, Tensor | None]:
        """Degrees of freedom, and the squared scale of Student's t over the covariance, for each row, ``(B,)``.

        Of a law without a closed form: infinity, scales ``(K, B)`` and their log weights.
        """
        found, count, energy = self.state["found"], self.state["counts"], self.state["energy"]
        ratio = found["ratio"].exp()
        if "shape" not in found:
            return math.inf, ratio.expand(len(index)), None
        a, ensemble = found["shape"].exp(), self.law == "ensemble"
        if self.prior != "inverse_gamma":
            told = (0 * energy, 0 * count) if ensemble else (energy, count)
            scale, weight = scale_posterior(self.prior, *told, a, ratio)
            return math.inf, scale[:, index], weight[:, index]
        if ensemble:
            return (2 * a).expand(len(index)), ratio.expand(len(index)), None
        count, energy = count[index], energy[index]
        return 2 * a + count, (a * ratio + energy / 2) / (a + count / 2), None

    def _index(self, x: Tensor, group: Tensor | None) -> Tensor:
        """Place of each row's group among those of the fit."""
        if group is None:
            return torch.zeros(len(x), dtype=torch.long)
        known = self.state["known"]
        place = torch.searchsorted(known, group).clamp_max(len(known) - 1)
        strange = group[known[place] != group]
        if len(strange):
            remedy = "Fit with some values of the group: they are what its predictions come from."
            shown = f"{int(strange[0])}"
            raise invalid("group must be one of the fit", shown, remedy)
        return place


@dataclass(frozen=True, eq=False)
class _Frame:
    """Units of points and values.

    Attributes:
        low: Centre of each column of points, ``(D,)``.
        unit: Scale of each, ``(D,)``.
        centre: Of the values.
        scale: Of the values.
    """

    low: Tensor
    unit: Tensor
    centre: float
    scale: float

    @classmethod
    def of(cls, x: Tensor, y: Tensor, *, plain: bool) -> "_Frame":
        """Means and standard deviations; constant columns keep their unit."""
        if plain or len(x) < 2:
            return cls(torch.zeros_like(x[0]), torch.ones_like(x[0]), 0.0, 1.0)
        unit, scale = x.std(0), float(y.std())
        return cls(x.mean(0), torch.where(unit > 0, unit, 1.0), float(y.mean()), scale if scale > 0 else 1.0)

    def inputs(self, x: Tensor) -> Tensor:
        """Points in these units."""
        return (x - self.low) / self.unit


def _is_auto(value: Any) -> bool:
    return isinstance(value, str) and value == "auto"
