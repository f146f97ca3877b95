"""Learn whole samples once, restore measurements of any kind afterwards."""

import inspect
from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, ClassVar, Self

import torch
from torch import Tensor, nn

from interpolants.fields.learned import LearnedFields
from interpolants.fields.preconditioned import Preconditioned, can_precondition
from interpolants.fields.protocol import Fields
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.kinds import Answer, Check, Count
from interpolants.foundations.ops import expand_like, time_dtype
from interpolants.foundations.randomness import generator, key
from interpolants.foundations.row_access import root_mean_square
from interpolants.foundations.types import Condition
from interpolants.framework.answers import Ensemble
from interpolants.framework.capabilities import capability
from interpolants.framework.frames import Frame, FramedFields, Standard
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.framework.transformed import Transformed, in_two
from interpolants.guidance.red_diff import REDDiff
from interpolants.methods.parts.choices import member
from interpolants.methods.parts.columns import warn_about_columns, warn_about_units
from interpolants.methods.parts.conditions import ConditionForm
from interpolants.methods.parts.learning import in_one_precision, learn_net, new_net
from interpolants.methods.parts.start_points import Pool
from interpolants.methods.restoration.prior_solvers import (
    RED_DIFF,
    Job,
    PointByREDDiff,
    Solver,
    choose_solver,
)
from interpolants.nets.scaled_condition import ScaledCondition
from interpolants.operators.measurement import Measurement, Operator, as_operator, check_measurement
from interpolants.paths.path import Path

# Where nothing but noise is seen.
_NOISE = torch.tensor(1e-3, dtype=torch.float64)
# Distances from the mean of the data, in standard deviations, at which a denoised noise counts as wrong, and a start is
# refused. Draws from which the standard deviation in data units is taken.
_WRONG, _FAR, _DRAWS = 5.0, 30.0, 64


_HEADS = ("noise",)


def _operator(who: str, operator: Any) -> Operator:
    named = isinstance(operator, str | Mapping)
    return as_operator(who, member(who, "operator", operator) if named else operator)


def _point_settings(who: str, given: Any) -> dict[str, Any]:
    """Settings of RED-diff, by their names."""
    settings = dict(given or {})
    known = [name for name in inspect.signature(REDDiff).parameters if name not in ("fields", "operator")]
    for name in settings:
        if name not in known:
            raise invalid(
                who, "every setting of red_diff must be one that it accepts", repr(name), nearest(name, known)
            )
    return settings


class PriorRestoration(Trained):
    """A diffusion of whole samples, with which measurements ``y = H(x) + noise`` are answered: points, draws, or means.

    ::

        method = PriorRestoration(operator={"kind": "downsample", "factor": 2}).fit(images)
        fine = method.restore(coarse).x[:, 0]
        again = method.restore(y, operator=other).x[:, 0]          # another measurement, the same network
        ready = PriorRestoration("saturate").fit(model=flow)       # a fitted one-sided flow as the prior
        draws = PriorRestoration(lines, solver={"kind": "posterior_draws", "noise": 0.05}).fit(model=flow)

    A prior that is learnt here has a preconditioned network, in units in which the entries of all samples together have
    mean 0 and standard deviation 1. The network never sees the measurement: nothing is trained again for another one.
    Where pairs can be made and the task is fixed,
    :class:`~interpolants.methods.restoration.restoration.Restoration` learns it and answers in one run of the sampler.

    Raises:
        InvalidInputError: If a setting is unknown or out of range.

    Source: Mardani et al. (2023), arXiv:2305.04391; draws after Song et al. (2023), PiGDM.
    """

    noun: ClassVar[str] = "method"
    former: ClassVar[Mapping[str, str]] = {
        "summary": "Use residual(x, observed).",
    }

    operator: Answer[Annotated[Any, Check(_operator)]] = field(kw_only=False)
    """H: the id of a card, a table ``{"kind": id, **settings}``, or what ``REDDiff`` takes."""
    path: Any = "vp"
    """Id or table of a one-sided path with a Gaussian base, or a ``Path``; for a prior that is learnt here."""
    red_diff: Answer[Annotated[Any, Check(_point_settings, "table | None")]] = None
    """Settings of ``guidance.REDDiff``: ``n_steps``, ``strength``, ``noise`` ..."""
    solver: Answer[Annotated[Any, Check(choose_solver)]] = RED_DIFF
    """``"red_diff"``, a point near a mode, for any differentiable H; or a table: ``{"kind": "posterior_draws", "noise":
    s}``, draws for a linear H (PiGDM); ``{"kind": "known_noise", "noise": s}``, the posterior mean of a denoising by
    one evaluation; ``{"kind": "renoise", "times": [...]}``, noise put on y and taken away again, which loses what the
    prior does not know. See ``methods.restoration.prior_solvers``."""
    net: Any = "auto"
    """``"auto"``, a card's id or a table, or an ``nn.Module``."""

    def check_settings(self) -> None:
        """Refuse what RED-diff would refuse after the training."""
        REDDiff(LearnedFields(self._prior_path((1,)), noise=_nothing), self.operator, **self.red_diff)

    def roles(self) -> tuple[Role, ...]:
        """Whole samples to learn the prior from, or a fitted method that is the prior."""
        return (
            Role(name="x1", axis="x1", optional=True, about="whole samples, in the units that H measures"),
            Role(name="cond", kind="condition", axis="x1", optional=True),
            Role(name="model", kind="model", axis="", optional=True, needs="fields"),
        )

    def fit(self, x1: Any = None, *, cond: Any = None, model: Any = None, **options: Any) -> Self:
        """Learn the prior from complete samples, or use a fitted one.

        Args:
            x1: Whole samples ``(N, *D)`` in the units that H measures.
            cond: What is known of each row of ``x1``.
            model: A fitted method whose ``fields`` give the mean noise on a one-sided path, instead of samples.
            options: As in :meth:`interpolants.framework.method.Method.fit`.
        """
        return super().fit(x1=x1, cond=cond, model=model, **options)

    def answers_without(self, role: str) -> bool:
        """Whether the fitted model does, if the prior is one; a prior fitted here needs its condition."""
        model = None if self.state is None else self.state.get("model")
        return model is not None and model.answers_without(role)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """The denoiser of the prior; nothing where a fitted method is the prior."""
        if ("x1" in data) == ("model" in data):
            found = "both" if "x1" in data else "neither"
            raise invalid("PriorRestoration.fit", "exactly one of x1 and model must be passed", found)
        if "model" in data:
            self.given |= {name: form for name, form in data["model"].given.items() if name == "cond"}
            if not isinstance(data["model"], FramedFields):
                rule = "model must define the units of its fields in `frame`"
                raise invalid(
                    "PriorRestoration.fit", rule, type(data["model"]).__name__, "For example, pass a Bridge."
                )
            return {"model": data["model"]}
        data = in_one_precision("PriorRestoration.fit", data)
        x1, cond = data["x1"], data.get("cond")
        warn_about_columns("PriorRestoration.fit", "x1", x1, self.columns("x1"), density=False)
        frame = Standard().fit(
            x1.reshape(len(x1), 1, -1)
        )  # one unit for all entries, as noise of one size needs
        x1 = frame.encode(x1)
        warn_about_units("PriorRestoration.fit", "x1 in one unit for all entries", x1)
        form = ConditionForm.of(cond, units=not isinstance(self.net, nn.Module))
        net = new_net("PriorRestoration", self.net, x1, form=form, seed=self.seed)
        net = ScaledCondition(net, form.shift, form.scale) if form.scale else net
        path, size = self._prior_path(tuple(x1.shape[1:])), root_mean_square(x1)
        scaled = size > 0 and can_precondition(path, _HEADS)
        net = Preconditioned(net, path, _HEADS, size) if scaled else net
        known: dict[str, Any] = {"cond": cond, "settings": self.training()}
        known["weight"] = net.weight if scaled else None
        net = learn_net(run, "prior", path, None, x1, net=net, heads=_HEADS, **known)
        return {"net": net, "mean": x1.mean(0), "size": size, "frame": frame}

    @property
    def fields(self) -> Fields:
        """The prior: the mean noise at every noise level, in the units of :attr:`frame`."""
        state = self.fitted_state("fields")
        if "model" in state:
            found: Fields = state["model"].fields
            return found
        path = self._prior_path(tuple(state["mean"].shape))
        return LearnedFields(path, noise=state["net"], mean1=state["mean"])

    @property
    def frame(self) -> Frame:
        """The units of :attr:`fields`: those of the data, or the model's."""
        state = self.fitted_state("frame")
        frame: Frame = state["model"].frame if "model" in state else state.get("frame", Standard())
        return frame

    @capability(reads={"observed": Role(name="observed")})
    def restore(
        self,
        /,
        observed: Tensor,
        *,
        draws: Count = 1,
        seed: int = 0,
        cond: Tensor | None = None,
        **settings: Any,
    ) -> Ensemble:
        """Answers to measurements; by RED-diff each is near a mode of the posterior, so that draws differ little.

        Those of RED-diff start from the operator's pseudo-inverse, or from the mean of the prior where it has none, or
        where the model's ``transform`` may not take its values. The strength of a prior that was learnt here counts in
        data units, that of a model in the model's units.

        Args:
            observed: Measurements ``(n, *M)``.
            draws: Number of answers to each.
            seed: Seed of the solver's noise.
            cond: One condition for all rows, or one row each.
            settings: Settings of answers, for this call.

        Returns:
            Members ``x (n, draws, *D)``.

        Raises:
            InvalidInputError: If measurements and operator do not fit, or RED-diff would start far from all samples.
        """
        chosen: Operator = self.operator
        frame, centre = self.frame, self._centre(len(observed), cond)
        y = observed.to(centre)
        check_measurement("PriorRestoration.restore", chosen, frame.decode(centre[:1]), y)
        straight = chosen.has_pinv and not isinstance(frame, Transformed)
        start = frame.encode(chosen.pinv(y)).to(centre) if straight else centre
        solver: Solver = self.solver
        if self.solver == RED_DIFF:
            self._check_start(frame.decode(start))
            own = dict(self.red_diff)
            if (units := self.state.get("frame")) is not None:
                # A misfit in data units beside a distance in the frame's: divided by the square of the scale.
                own["noise"] = (own.get("noise") or 1.0) * float(units.scale)
            solver = PointByREDDiff(own)
        linear = chosen.is_linear and not isinstance(frame, Transformed)
        encoded = Measurement(lambda x: chosen(frame.decode(x)), is_linear=linear)
        job = Job(self.fields, frame, chosen, encoded, y, start, cond)
        seeds = (key(seed, "RED-diff draw", k) >> 32 for k in range(draws))
        found = [solver.restored(job, own) for own in seeds]
        return Ensemble(x=torch.stack([frame.decode(x) for x in found], 1))

    def residual(self, x: Tensor, observed: Tensor, *, operator: Any = None) -> float:
        """Root mean squared residual ``y - H(x)`` over all entries, in the units of the measurement.

        Args:
            x: Answers ``(n, *D)``.
            observed: Measurements ``(n, *M)``.
            operator: H, where it is not the one given at the beginning.
        """
        chosen = self.operator if operator is None else _operator("PriorRestoration.residual", operator)
        return float((observed - chosen(x)).square().mean().sqrt())

    def _centre(self, n: int, cond: Tensor | None) -> Tensor:
        """The mean of the prior ``(n, *D)`` in the units of the fields: known, or what a model answers to noise.

        A network without preconditioning may answer anything to noise. The mean of the data stands for what lies far
        from them.
        """
        if "mean" in self.state:
            mean: Tensor = self.state["mean"]
            return mean.expand(n, *mean.shape)
        model = self.state["model"]
        given = model.given["x1"].torch_dtype
        dtype = next((p.dtype for net in self.fields.networks for p in net.parameters()), given)
        zero = torch.zeros(n, *model.shapes["x1"], dtype=given)
        with torch.no_grad():
            middle = torch.zeros_like(in_two(self.frame)[2].encode(zero), dtype=dtype)
            t = _NOISE.to(time_dtype(middle))
            found: Tensor = self.fields.evaluate(middle, t, ("denoised",), cond)["denoised"]
        moments = _moments(model)
        if moments is None:
            return found
        mean, size = moments[0].to(found), moments[1]
        wrong = ((found - mean).abs().flatten(1).amax(1) <= _WRONG * size).logical_not()
        return torch.where(expand_like(wrong, found), mean, found)

    def _check_start(self, start: Tensor) -> None:
        """Refuse a start of RED-diff, in data units, that lies far outside of the data."""
        moments = _moments(self)
        if moments is None:
            return
        mean, size = moments
        z = torch.randn(_DRAWS, *mean.shape, generator=generator(0, "size of the data"), dtype=torch.float64)
        rows = self.frame.decode(mean.double() + size * z)
        centre = self.frame.decode(mean.double()[None])[0]
        away = float((start.double() - centre).abs().max() / (rows - centre).square().mean().sqrt())
        if not away <= _FAR:
            rule = f"it must start within {_FAR:g} standard deviations of the whole samples, by H's pseudo-inverse"
            remedy = (
                "Check the units of the measurements, or pass H without a pseudo-inverse: Measurement(H)."
            )
            raise invalid("PriorRestoration.restore", rule, f"{away:.3g}", remedy)

    def _prior_path(self, shape: tuple[int, ...]) -> Path:
        """The path, with a Gaussian base of the samples' shape where it is given by name."""
        if isinstance(self.path, Path):
            return self.path
        table = {"kind": self.path} if isinstance(self.path, str) else dict(self.path)
        built = member("PriorRestoration", "path", {"base": Gaussian(shape), **table})
        assert isinstance(built, Path)
        return built


def _moments(method: Any) -> tuple[Tensor, float] | None:
    """Mean ``(*D)`` and standard deviation over all entries of a prior's data, in the units of its fields.

    None where a model keeps neither rows nor units of its own.
    """
    state = method.state
    if isinstance(method, PriorRestoration):
        return _moments(state["model"]) if "model" in state else (state["mean"], state.get("size", 1.0))
    pool = state.get("pool1") if isinstance(state, Mapping) else None
    if isinstance(pool, Pool):
        mean = pool.x.mean(0)
        return mean, float((pool.x - mean).square().mean().sqrt())
    return None


def _nothing(x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
    return torch.zeros_like(x)
