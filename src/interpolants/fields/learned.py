"""Fields from networks or functions: a sufficient set is given, the others follow from the path's relations."""

import copy
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from interpolants.fields.conversions import At, Rule, explain, fold, plan
from interpolants.fields.matched_net import FieldsNet, MatchedNet, check_reachable, matched_heads, same_path
from interpolants.fields.protocol import QUANTITIES, Combined, Fields, Weights, weighted_sum
from interpolants.foundations.calls import takes_third
from interpolants.foundations.checks import number, one_of
from interpolants.foundations.clock import known_number, known_place, number_of
from interpolants.foundations.derivatives import gradient
from interpolants.foundations.errors import invalid
from interpolants.foundations.inner_nets import with_inner_net
from interpolants.foundations.row_times import RowTimes, by_row
from interpolants.foundations.tell import SettingWarning, tell
from interpolants.foundations.types import Condition, Field, FieldLike
from interpolants.paths.path import Path, SpatiallyLinearPath

# Factor of the learnt quantity in the denoised state at t = 0 above which a changed path warns.
_FACTOR = 20.0
# A sum over the state and what was learnt: the weight of the state, and those of the quantities needed.
_Terms = tuple[float, list[tuple[str, float]]]
_Key = tuple[float | None, int | None]


class LearnedFields(Fields):
    """Fields of a path from the quantities that were learnt.

    ::

        LearnedFields(path, velocity=net, noise=other)            # one callable each
        LearnedFields(path, joint=net, heads=("velocity", "noise"))  # one trunk, heads on dimension 1

    Each callable is an ``nn.Module`` or function ``f(x, t)`` or ``f(x, t, cond)``; a third argument with a default of
    its own, such as ``k=3.0``, is no condition. It gets one time per row, ``t (B,)``, whatever the solver, and is
    checked on its first call. A ``log_density`` returns ``(B,)``,
    up to a function of time, and gives the score as its gradient; an ``energy`` as minus its gradient.

    Args:
        path: The interpolant whose fields these are.
        velocity, mean_rate, score, noise, endpoint0, denoised, energy, log_density: What was learnt.
        joint: A callable returning ``(B, K, *D)``.
        heads: The K quantities of ``joint``, in order.
        mean1: ``E[x1]``, shape ``(*D)``; makes a one-sided path exact at t = 0 when only the noise was learnt.
        margin: Samplers evaluate the relations (not the networks) at times clipped to ``[margin, 1 - margin]``, so that
            a division by gamma stays finite at the ends; the path's own when None, and log densities by adaptive
            solvers then go nearer, to a tenth of ``rtol``. On a path that x1 enters with an
            infinite rate the networks are asked at these times too. The public methods do not clip: they raise there.

    Raises:
        InvalidInputError: If nothing is given, a name is unknown, or ``heads`` do not fit.

    Source: Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797, section 2.
    """

    def __init__(
        self,
        path: Path,
        *,
        velocity: FieldLike | None = None,
        mean_rate: FieldLike | None = None,
        score: FieldLike | None = None,
        noise: FieldLike | None = None,
        endpoint0: FieldLike | None = None,
        denoised: FieldLike | None = None,
        energy: FieldLike | None = None,
        log_density: FieldLike | None = None,
        joint: FieldLike | None = None,
        heads: Sequence[str] = (),
        mean1: Tensor | None = None,
        margin: float | None = None,
    ) -> None:
        if not isinstance(path, Path):
            raise invalid("LearnedFields", "path must be a Path", type(path).__name__, "E.g. paths.Linear().")
        self._may_go_closer = margin is None
        margin = path.margin if margin is None else margin
        number("LearnedFields", "margin", margin, at_least=0, below=0.5)
        self.path, self.margin = path, margin
        self._mean1 = mean1
        self._is_steep = isinstance(path, SpatiallyLinearPath) and path.is_steep_at_0
        single = {
            "velocity": velocity,
            "mean_rate": mean_rate,
            "score": score,
            "noise": noise,
            "endpoint0": endpoint0,
            "denoised": denoised,
        }
        self._sources = {name: _accepting_cond(f) for name, f in single.items() if f is not None}
        scalars = {"score": score, "energy": energy, "log_density": log_density}
        if len(given := [name for name, f in scalars.items() if f is not None]) > 1:
            raise invalid("LearnedFields", "one source of the score may be given", " and ".join(given))
        if energy is not None:
            self._sources["score"] = _Gradient(_accepting_cond(energy), -1.0)
        self._log_density = None if log_density is None else _accepting_cond(log_density)
        if self._log_density is not None:
            self._sources["score"] = _Gradient(self._log_density, 1.0)
        self._joint = None if joint is None else _accepting_cond(joint)
        self._heads = _check_heads(joint, heads, self._sources)
        if not self.known:
            raise invalid(
                "LearnedFields",
                "at least one field must be given",
                "none",
                f"One of: {', '.join(QUANTITIES)}.",
            )
        self._plans: dict[str, tuple[Rule, ...] | None] = {}
        self._routes: dict[tuple[str, ...], tuple[list[Rule], set[str]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Without the plans, which are found anew: they hold functions that no other process can be handed."""
        return {**vars(self), "_plans": {}, "_routes": {}}

    @property
    def known(self) -> tuple[str, ...]:
        """The quantities that were learnt."""
        return (*self._sources, *self._heads)

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments that make equal fields on the same path."""
        arguments: dict[str, Any] = {name: _inner(f) for name, f in self._sources.items()}
        if isinstance(self._sources.get("score"), _Gradient):
            arguments["energy" if self._log_density is None else "log_density"] = arguments.pop("score")
        if self._joint is not None:
            arguments |= {"joint": _inner(self._joint), "heads": self._heads}
        return {**arguments, "mean1": self._mean1, "margin": None if self._may_go_closer else self.margin}

    @property
    def networks(self) -> list[nn.Module]:
        """The networks among what was given."""
        given = [_inner(f) for f in (*self._sources.values(), self._joint) if f is not None]
        return [f for f in given if isinstance(f, nn.Module)]

    @property
    def rounded_by(self) -> tuple[object, str]:
        """The network where there is one alone: relations of a linear path treat every entry by itself."""
        sources = [f for f in (*self._sources.values(), self._joint) if f is not None]
        network = _inner(sources[0])
        if len(sources) > 1 or not (
            isinstance(network, nn.Module) and isinstance(self.path, SpatiallyLinearPath)
        ):
            return self, ""
        return network, f"{type(sources[0]).__name__} {' '.join(self.known)}"

    @cached_property
    def bounded_quantity(self) -> str:
        """The score where it was learnt directly, else the mean noise: it stays finite at the ends.

        Where the base is not Gaussian the two are independent, and it is the score that an SDE needs.
        """
        base = None if self.path is None else self.path.base
        given = "score" in self.known or (base is not None and not base.is_gaussian)
        return "score" if given else "noise"

    def through(self, change: Callable[[nn.Module], nn.Module]) -> "LearnedFields":
        """The same fields with every network replaced, that inside its wrappers; functions stay as they are."""
        found = copy.copy(self)
        found._sources = {name: _through(f, change) for name, f in self._sources.items()}
        found._joint = None if self._joint is None else _through(self._joint, change)
        found._log_density = None if self._log_density is None else _through(self._log_density, change)
        return found

    def on(self, path: Path) -> Fields:
        """The fields of the same model on another path; see :func:`on_path`."""
        return on_path(self, path)

    @cached_property
    def knows_latent_apart(self) -> bool:
        """Whether the noise was learnt, and beside it the mean rate where that is not zero."""
        path = self.path
        if path is None or path.is_one_sided or path.envelope.is_zero or path.basis is not None:
            return False
        return "noise" in self.known and ("mean_rate" in self.known or path.is_static)

    def closer(self, margin: float) -> "LearnedFields":
        """The same fields with a smaller margin, where it was left to the path and no network is steep there."""
        if margin >= self.margin or self._is_steep or not self._may_go_closer:
            return self
        found = copy.copy(self)
        found.margin = margin
        return found

    def error_factors(self, quantity: str, times: Tensor) -> Tensor:
        """The largest coefficient of what was learnt, as samplers see it; ones where relations cannot be folded."""
        steps = self._plan(quantity)
        ones = torch.ones(len(times), dtype=torch.float64)
        if not steps or self.path is None:
            return ones
        rows = fold(self.path, steps, self.known, times.double().clamp(self.margin, 1 - self.margin))
        return ones if rows is None else rows[quantity][:, 1:].abs().amax(1).nan_to_num(1.0)

    def provides(self, quantity: str) -> bool:
        """Whether the quantity was learnt or follows."""
        return self._plan(quantity) is not None

    def evaluate(
        self,
        x: Tensor,
        t: Tensor,
        want: Sequence[str],
        cond: Condition = None,
        *,
        margin: float | None = None,
    ) -> dict[str, Tensor]:
        """The wanted quantities, each network evaluated once.

        Args:
            x: States ``(B, *D)``.
            t: Time, 0-d or ``(B,)``.
            want: Names of the quantities.
            cond: Condition, one row per state.
            margin: In place of that of the fields; 0 evaluates the relations at the very times.

        Raises:
            NotIdentifiableError: If one does not follow from what was learnt.
        """
        margin = self.margin if margin is None else margin
        steps, needed = self._route(tuple(want))
        values = self._learnt(x, self._entered(t, margin), needed, cond)
        if steps:
            assert self.path is not None
            at = At(self.path, x, t.clamp(margin, 1 - margin) if margin else t, self._mean1)
            inside = {name: at.enter(value) for name, value in values.items()}
            for rule in steps:
                inside[rule.target] = rule.formula(at, *(inside[need] for need in rule.needs))
            values |= {name: at.leave(inside[name]) for name in want if name not in values}
        return values

    def velocity_of(self, cond: Condition = None) -> Callable[[Tensor, Tensor], Tensor]:
        """The velocity as a function of state and time; what the network gives where it was learnt as such."""
        if "velocity" not in self.known:
            return super().velocity_of(cond)
        source, only = self._sources.get("velocity"), {"velocity"}
        # The inner loop of samplers, without the hooks of a module.
        ask = source.forward if isinstance(source, RowTimes) else source

        def of_a_head(x: Tensor, t: Tensor) -> Tensor:
            return self._learnt(x, self._entered(t, self.margin), only, cond)["velocity"]

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            assert ask is not None
            value = ask(x, self._entered(t, self.margin), cond)
            _check_shape("velocity", value, x)
            return value

        return of_a_head if source is None else velocity

    def log_density_of(self, cond: Condition = None) -> Callable[[Tensor, Tensor], Tensor] | None:
        """The function given as ``log_density``."""
        source = self._log_density
        return None if source is None else lambda x, t: source(x, t, cond)

    def combined(self, names: Sequence[str], weights: Weights, times: Sequence[Tensor] = ()) -> Combined:
        """A weighted sum; at the ``times`` given the relations cost nothing but the terms that remain."""
        table = self._table(tuple(names), weights, times) if times else {}

        def sum_at(x: Tensor, t: Tensor, cond: Condition) -> Tensor:
            found = table.get((known_number(t), known_place(t)))
            if found is None:
                return self.weigh(self.evaluate(x, t, names, cond), [*zip(names, weights(t), strict=True)])
            own, terms = found
            learnt = self._learnt(x, self._entered(t, self.margin), {name for name, _ in terms}, cond)
            parts = [(learnt[name], weight) for name, weight in terms]
            return weighted_sum([(x, own), *parts] if own else parts)

        return sum_at

    def _table(self, names: tuple[str, ...], weights: Weights, times: Sequence[Tensor]) -> dict[_Key, _Terms]:
        """By the number and place of a time, the sum as one over the state and what was learnt; all at once.

        Between two evaluations of a network the same work takes ten times as long: every cache is cold there.
        """
        steps, needed = self._route(names)
        assert self.path is not None
        t = torch.tensor([number_of(time) for time in times], dtype=times[0].dtype)
        rows = fold(self.path, steps, self.known, t.clamp(self.margin, 1 - self.margin) if self.margin else t)
        if rows is None:
            return {}
        total = torch.zeros(len(t), 1 + len(self.known), dtype=torch.float64)
        for name, weight in zip(names, weights(t), strict=True):
            total += rows[name] * torch.as_tensor(weight, dtype=torch.float64).reshape(-1, 1)
        keys = [(time, known_place(tick)) for time, tick in zip(t.tolist(), times, strict=True)]
        found: dict[_Key, _Terms] = {}
        for key, (own, *sums), whole in zip(
            keys, total.tolist(), total.isfinite().all(1).tolist(), strict=True
        ):
            if whole:
                found[key] = own, [pair for pair in zip(self.known, sums, strict=True) if pair[0] in needed]
        return found

    def _exact(self, x: Tensor, t: Tensor, quantity: str, cond: Condition) -> Tensor:
        return self.evaluate(x, t, (quantity,), cond, margin=0.0)[quantity]

    def _entered(self, t: Tensor, margin: float) -> Tensor:
        """Times of network evaluations: a steep path's fields at the ends are the limits of those just inside."""
        return t.clamp(margin, 1 - margin) if self._is_steep and margin else t

    def _learnt(self, x: Tensor, t: Tensor, needed: set[str], cond: Condition) -> dict[str, Tensor]:
        values = {name: f(x, t, cond) for name, f in self._sources.items() if name in needed}
        if self._joint is not None and not needed.isdisjoint(self._heads):
            out = self._joint(x, t, cond)
            # len() would fix the rows of a traced program.
            shape = (x.shape[0], len(self._heads), *x.shape[1:])
            if out.shape != shape:
                rule = f"the output must have shape {shape}, one entry for each of {', '.join(self._heads)}"
                remedy = f"Make the network with heads={len(self._heads)}, or name what it returns in heads=."
                raise invalid("LearnedFields.joint", rule, tuple(out.shape), remedy)
            values |= dict(zip(self._heads, out.unbind(1), strict=True))
        for name, value in values.items():
            _check_shape(name, value, x)
        return values

    def _route(self, want: tuple[str, ...]) -> tuple[list[Rule], set[str]]:
        """Rules to apply and quantities to compute; found once per request, this is the samplers' inner loop."""
        if want not in self._routes:
            steps: list[Rule] = []
            for quantity in want:
                route = self._plan(quantity)
                if route is None:
                    assert self.path is not None
                    raise explain(self.path, self.known, quantity)
                steps += [rule for rule in route if rule not in steps]
            self._routes[want] = steps, {need for rule in steps for need in rule.needs} | set(want)
        return self._routes[want]

    def _plan(self, quantity: str) -> tuple[Rule, ...] | None:
        one_of("Fields", "the quantity", quantity, QUANTITIES)
        if quantity not in self._plans:
            assert self.path is not None
            self._plans[quantity] = plan(self.path, self.known, quantity)
        return self._plans[quantity]


def on_path(fields: Fields, path: Path) -> Fields:
    """Return the fields of a model on another path than that of its training.

    Mean noise and denoised state are those of the model at the matched time and scale, and the velocity follows by the
    relation of the new path; see :mod:`interpolants.fields.matched_net`. Exact samplers reach the same points, up to
    the scales of the two bases. Runge-Kutta steps do not, and ``path`` decides how many of them are needed. Steps in
    the log of signal over noise (``ddim``, ``dpmpp_2m``, ...) are the same on every path.

    Args:
        fields: Fields of a model, such as ``bridge.fields``, guided fields, or those of ``from_diffusers``. What in
            them depends on time, such as the strength of guidance, depends on the time of the model path.
        path: One-sided with the same base up to its scale, or two-sided without a latent term, as is the model's.

    Returns:
        Fields on ``path``. These are ``fields`` itself if ``path`` is already its path, and the original fields if they
        were moved from ``path``.

    Raises:
        InvalidInputError: If the path cannot be reached; the reason is named.
        NotIdentifiableError: If noise and denoised state do not follow from the learnt quantities.
    """
    source = fields.path
    if source is None:
        raise invalid(
            "on", "the fields must have a path", "none", "For example, pass the fields of a Bridge."
        )
    if not isinstance(path, Path):
        raise invalid(
            "on", "path must be a Path", type(path).__name__, "For example, paths.OneSidedLinear()."
        )
    if same_path(path, source):
        return fields
    check_reachable(source, path)
    _warn_of_the_start(fields)
    functions = []
    if isinstance(fields, LearnedFields):
        functions = [f for f in (*fields._sources.values(), fields._joint) if f is not None]
    net = functions[0] if len(functions) == 1 else None
    if isinstance(net, MatchedNet):
        return _unmatched(net) if same_path(path, net.source) else _matched(path, net.toward(path))
    heads = matched_heads(path)
    if (
        isinstance(fields, LearnedFields)
        and isinstance(net, nn.Module)
        and not isinstance(net, _IgnoringCond)
    ):
        return _matched(path, MatchedNet(net, source, path, fields.known, fields._mean1, fields.margin))
    if missing := [name for name in heads if not fields.provides(name)]:
        raise explain(source, fields.known, missing[0])
    return _matched(path, MatchedNet(FieldsNet(fields, heads), source, path, heads))


def _warn_of_the_start(fields: Fields) -> None:
    """Warn if the denoised state at t = 0, which the new path's velocity needs, multiplies errors of the network."""
    source = fields.path
    if not isinstance(fields, LearnedFields) or fields._mean1 is not None or source is None:
        return
    if not source.is_one_sided or "denoised" in fields.known:
        return
    factor = float(fields.error_factors("denoised", torch.zeros(1)))
    if factor > _FACTOR:
        heads = " and ".join(fields.known)
        text = f"on: at t = 0 the denoised state is {heads} times {factor:.0f}, and so are its errors"
        tell(
            SettingWarning,
            f"{text}. Start later, sample(..., start=0.05), and compare with the model's own path.",
        )


def _matched(path: Path, net: MatchedNet) -> LearnedFields:
    return LearnedFields(path, joint=net, heads=matched_heads(path))


def _unmatched(net: MatchedNet) -> Fields:
    """The fields that a network was moved from."""
    if isinstance(net.net, FieldsNet):
        original: Fields = net.net.fields
        return original
    if len(net.heads) > 1:
        return LearnedFields(net.source, joint=net.net, heads=net.heads, margin=net.margin)
    head: dict[str, Any] = {net.heads[0]: net.net}
    return LearnedFields(net.source, mean1=net.mean1, margin=net.margin, **head)


def _check_shape(name: str, value: Tensor, x: Tensor) -> None:
    if value.shape != x.shape:
        rule = f"the output must have shape {tuple(x.shape)}"
        remedy = "It must return one value per entry of the state; widen t to the rows of x, e.g. t[:, None]."
        raise invalid(f"LearnedFields.{name}", rule, tuple(value.shape), remedy)


class _Gradient:
    """The score of an energy, ``-grad E``, or of a log density; differentiable itself when gradients are on."""

    def __init__(self, function: Field, sign: float) -> None:
        self.function, self.sign = function, sign

    def __call__(self, x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
        return self.sign * gradient(lambda point: self.function(point, t, cond), x)


class _IgnoringCond(nn.Module):
    """A user's ``f(x, t)`` called as ``f(x, t, cond)``."""

    def __init__(self, function: Field) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
        return self.function(x, t)


def _inner(function: Field) -> Field:
    """What was given, without what was put around it."""
    return (
        _inner(function.function) if isinstance(function, _Gradient | _IgnoringCond | RowTimes) else function
    )


def _through(function: Field, change: Callable[[nn.Module], nn.Module]) -> Field:
    """The function over another network, with what was put around it."""
    if isinstance(function, _Gradient):
        return _Gradient(_through(function.function, change), function.sign)
    if isinstance(function, nn.Module) and isinstance(_inner(function), nn.Module):
        return with_inner_net(function, change)
    return function


def _accepting_cond(function: FieldLike) -> Field:
    if not callable(function):
        raise invalid("LearnedFields", "a field must be callable as f(x, t)", type(function).__name__)
    timed = by_row("LearnedFields", function)
    return timed if takes_third(function) else _IgnoringCond(timed)


def _check_heads(joint: FieldLike | None, heads: Sequence[str], single: dict[str, Any]) -> tuple[str, ...]:
    if (joint is None) != (not heads):
        raise invalid("LearnedFields", "joint and heads go together", f"heads={tuple(heads)}")
    for name in heads:
        one_of("LearnedFields", "every head", name, QUANTITIES)
        if name in single:
            raise invalid("LearnedFields", "a quantity may be given once", repr(name))
    return tuple(heads)
