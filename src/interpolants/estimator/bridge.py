"""The estimator: two sample sets in, a trained bridge out, with the manners of scikit-learn."""

import dataclasses
import secrets
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

import torch
from torch import Tensor, nn

from interpolants.couplings.independent import Independent
from interpolants.couplings.paired import Paired
from interpolants.data.arrays import Kind, as_tensor, restore
from interpolants.data.instance_noise import InstanceNoise
from interpolants.dynamics.sample import Samples
from interpolants.dynamics.sample import sample as run_dynamics
from interpolants.estimator import choices
from interpolants.estimator.auto_eps import EpsChoice, auto_eps
from interpolants.estimator.check import CheckReport, check_bridge
from interpolants.estimator.conditions import for_samples, of_rows
from interpolants.estimator.examples import Examples
from interpolants.estimator.held_out import HeldOut, set_aside
from interpolants.estimator.normaliser import InNetworkUnits, Normaliser
from interpolants.estimator.own_coupling import OwnCoupling
from interpolants.estimator.starts import Pool, check_count, draw_base
from interpolants.fields.learned import LearnedFields
from interpolants.fields.log_density import LogDensity
from interpolants.fields.preconditioned import Preconditioned, check_preconditioned
from interpolants.fields.protocol import Fields
from interpolants.foundations.errors import InvalidInputError, invalid, nearest
from interpolants.foundations.randomness import generator
from interpolants.foundations.registry import describe
from interpolants.foundations.types import Condition
from interpolants.guidance.classifier_free import guide
from interpolants.likelihood.held_out_errors import held_out_errors
from interpolants.likelihood.kl_bound import SquaredErrors
from interpolants.likelihood.log_prob import log_prob as flow_log_prob
from interpolants.nets.build import choose_net
from interpolants.objectives.joint import JointLoss, joint_loss
from interpolants.paths.custom import General
from interpolants.paths.path import Path
from interpolants.training.engine import FitResult
from interpolants.training.engine import fit as train
from interpolants.training.pairs import PairBatches, PathLoss, TimedNet, draw_pairs, finished

# Draws that stand for a law given by its sampler.
LAW_SAMPLES = 50_000


class Bridge:
    """A learnt bridge between two laws: transport, generate and score, by ODE or SDE, in both directions.

    ::

        bridge = Bridge(path="linear", seed=0).fit(x0, x1)
        y = bridge.sample(1000, eps=0.5)               # forward SDE; eps=0 is the ODE; same trained model
        x = bridge.transport(x1_new, reverse=True)     # the other way
        lp = bridge.log_prob(x1_new)                   # nats, one per row

    Data may be arrays, tensors, DataFrames, datasets, a torch Distribution or a problem's law; answers come back in the
    kind that was given. States of any shape ``(N, *D)``; both ends must have the same event shape.

    Args:
        path: Name of a path, ``{"kind": name, **settings}``, or a ``Path``. One-sided paths generate from a Gaussian.
            Paths that are made from data are fitted to x1 by ``{"kind": name, "fit": {settings}}``.
        coupling: How x0 and x1 are paired while training: ``"independent"``, ``"paired"``, ``"minibatch_ot"``,
            ``"sinkhorn"``, a table with settings, or a coupling.
        net: ``"auto"`` (MLP for vectors, U-Net for images), a name, a table with settings, or an ``nn.Module`` called
            as ``net(x, t, cond)`` that returns ``(B, K, *D)`` for K > 1 quantities.
        learn: ``"auto"`` or the quantities to learn, e.g. ``("velocity", "noise")``; any sufficient pair.
        times: ``"auto"``, ``"uniform"``, ``"stratified"``, ``"logit_normal"``, ``"importance"`` (drawn where the loss
            varies most, learnt while training), ``"noise"`` (by noise level, on one-sided paths), a table with
            settings, or a ``TimeSampler``.
        standardize: Learn in units where the pooled data have mean 0 and standard deviation 1 (one map for both ends;
            per column for tables, overall for images). Then ``eps`` is in those units squared.
        drop_condition: Chance that a row is learnt from without its condition, in [0, 1). Above 0 (0.1 is usual) the
            bridge also knows the fields without a condition, which ``guidance`` needs.
        held_out: Share of the rows that training does not see, in [0, 0.5]; ``eps="auto"`` is chosen by them.
        precondition: Give the network inputs, outputs and losses of one size at all noise levels, on a one-sided path;
            see ``fields.Preconditioned``. Goes well with ``times="noise"`` and ``learn="denoised"``.
        perturb: Noise on the rows of x1 in every batch, for data on a thin set: a standard deviation in standardised
            units, or ``data.InstanceNoise``. The bridge then leads to data with that noise.
        penalties: Terms beside the loss, each a table such as ``{"kind": "fokker_planck_residual", "weight": 0.1}``;
            see ``objectives.Penalty``. Each goes with one quantity to learn.
        seed: Seed of initial weights, training and default sampling, >= 0.
        train: Settings of the training loop, e.g. ``steps=5000, lr=2e-3`` (see ``training.TrainSettings``).

    Raises:
        InvalidInputError: If a name or setting is unknown; the nearest is named.

    Source: Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797.
    """

    def __init__(
        self,
        path: Any = "linear",
        *,
        coupling: Any = "independent",
        net: Any = "auto",
        learn: Any = "auto",
        times: Any = "auto",
        standardize: bool = True,
        drop_condition: float = 0.0,
        held_out: float = 0.0,
        precondition: bool = False,
        perturb: float | InstanceNoise = 0.0,
        penalties: Sequence[Any] = (),
        seed: int = 0,
        **train: Any,
    ) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise invalid("Bridge", "seed must be an integer >= 0", seed)
        self._params = {
            "path": path,
            "coupling": coupling,
            "net": net,
            "learn": learn,
            "times": times,
            "standardize": standardize,
            "drop_condition": drop_condition,
            "held_out": held_out,
            "precondition": precondition,
            "perturb": perturb,
            "penalties": tuple(penalties),
            "seed": seed,
        }
        if not 0 <= drop_condition < 1:
            raise invalid("Bridge", "drop_condition must lie in [0, 1)", drop_condition)
        if not 0 <= held_out <= 0.5:
            raise invalid("Bridge", "held_out must lie in [0, 0.5]", held_out, "0.1 is usual.")
        defaults: dict[str, Any] = {"seed": seed, "schedule": "cosine", "warmup": 50, "lr": 2e-3}
        self._train = dict(train)
        self.settings = choices.train_settings({**defaults, **train})
        self._settings_when_made = self.settings
        self.path: Path = choices.choose_path(path)
        self.heads = choices.choose_heads(learn, self.path)
        self.coupling = choices.choose_coupling(coupling)
        self.times = choices.choose_times(times, self.path)
        self.seed = seed
        self._loss = joint_loss(self.heads, self.path)
        self.perturb = perturb if isinstance(perturb, InstanceNoise) else InstanceNoise(perturb)
        choices.choose_penalties(penalties, self.path, self.heads)
        if precondition:
            check_preconditioned(self.path, self.heads)
        self._data_std = 1.0
        self.net: nn.Module | None = None
        self.normaliser = Normaliser.identity()
        self.shape: tuple[int, ...] = ()
        self.history: list[dict[str, Any]] = []
        self.result: FitResult | None = None
        self.leg: Bridge | None = None
        self.eps_choice: EpsChoice | None = None
        self._held: HeldOut | None = None
        self._kind: Kind | None = None
        self._pool0: Pool | None = None
        self._pool1: Pool | None = None
        self._density0: Any = None

    # --- parameters, as scikit-learn has them

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments this bridge was made with."""
        return {**self._params, **self._train}

    def set_params(self, **params: Any) -> "Bridge":
        """Change arguments; the bridge must be fitted again afterwards.

        Raises:
            InvalidInputError: If a name is unknown; the nearest is named.
        """
        known = {**self._params, **dict.fromkeys(type(self.settings).model_fields)}
        for name in params:
            if name not in known:
                raise invalid(
                    "Bridge.set_params", "the parameter must be known", repr(name), nearest(name, known)
                )
        self.__init__(**{**self.get_params(), **params})  # type: ignore[misc]
        return self

    # --- learning

    def fit(
        self,
        x0: Any = None,
        x1: Any = None,
        *,
        cond: Any = None,
        cond0: Any = None,
        steps: int | None = None,
        batch_size: int | None = None,
        progress: bool = True,
        out: str | FilePath | None = None,
        resume: bool = False,
        validate: Callable[[Any, int], dict[str, float]] | None = None,
        callbacks: Sequence[Any] = (),
    ) -> "Bridge":
        """Learn the bridge from samples of the two laws.

        Args:
            x0: Samples of rho0; left out where the path has a Gaussian base (or is a mirror).
            x1: Samples of rho1.
            cond: What is known of each row of ``x1``: labels ``(N,)``, vectors ``(N, C)`` or fields ``(N, C, *D)``.
            cond0: Likewise for ``x0``; used by couplings that pair within labels. Starts are then drawn by the labels
                of x1: where labels are not equally frequent at both ends, those of x1 count.
            steps: Training steps, instead of the bridge's setting.
            batch_size: Rows per step, instead of the bridge's setting.
            progress: Show a progress bar.
            out: Folder for checkpoints and logs.
            resume: Go on from the checkpoints in ``out``; give the same data and settings. Another path or
                base is refused.
            validate: ``validate(net, step) -> numbers`` to log now and then.
            callbacks: Called after every step; see ``training.fit``.

        Returns:
            The bridge itself, fitted.

        Raises:
            InvalidInputError: If data do not fit each other or the path.
            DivergedError: If training leaves the finite numbers.
        """
        first, second, labels, labels0, kind, density0 = self._take_data(x0, x1, cond, cond0)
        overrides = {k: v for k, v in (("steps", steps), ("batch_size", batch_size)) if v is not None}
        self.settings = choices.train_settings({**self._settings_when_made.model_dump(), **overrides})
        self._kind, self._density0 = kind, density0  # only now: what is refused above changes nothing
        self.shape = tuple(second.shape[1:])
        self.leg, self.net, self.eps_choice = None, None, None
        first, labels0, second, labels, away = self._set_aside(first, labels0, second, labels)
        if self._params["standardize"]:
            self.normaliser = Normaliser.of(second) if first is None else Normaliser.of(first, second)
        else:
            self.normaliser = Normaliser.identity()
        second = self.normaliser.encode(second)
        first = None if first is None else self.normaliser.encode(first)
        self._held = None if away is None else self._encoded(away)
        self._pool0 = None if first is None else Pool.of(first, labels0, self.seed)
        self._pool1 = Pool.of(second, labels, self.seed)
        if (unfitted := choices.path_to_fit(self._params["path"])) is not None:
            self.path = unfitted.fit(second)
            self._loss = joint_loss(self.heads, self.path)
        if isinstance(self.path, General) and first is not None:
            rows = min(len(first), len(second), 64)
            self.path.check_ends(first[:rows], second[:rows])
        self._data_std = float(second.double().square().mean().sqrt())
        net, loss = self._prepared(self._new_net(first, second, labels))
        self.times = choices.choose_times(self._params["times"], self.path)
        size = self.settings.batch_size
        batches = PairBatches(
            first,
            second,
            size,
            self.coupling,
            self.times,
            cond=labels,
            cond0=labels0,
            perturb=self.perturb,
            who="Bridge.fit",
        )
        self.result = train(
            TimedNet(net, self.times),
            PathLoss(
                loss,
                self.times,
                self._params["drop_condition"] if labels is not None else 0.0,
                choices.choose_penalties(self._params["penalties"], self.path, self.heads),
            ),
            batches,
            self.settings,
            out=out,
            resume=resume,
            about=self._about(),
            validate=validate,
            callbacks=callbacks,
            progress=progress,
        )
        self.history = [dict(row) for row in self.result.history]
        self.net = finished(net, self.result)
        return self

    def _about(self) -> dict[str, Any]:
        """What the weights are for; weights for another path, or another base, would load without a word."""
        try:
            path = describe(self.path, "Bridge.fit")
        except InvalidInputError:
            path = {"kind": type(self.path).__name__}  # a user's own
        about = {"path": path, "learn": self.heads, "precondition": bool(self._params["precondition"])}
        return {**about, "perturb": dataclasses.asdict(self.perturb)}

    def _new_net(self, first: Tensor | None, second: Tensor, labels: Tensor | None) -> nn.Module:
        """The network to train, with its initial weights."""
        chosen = self._params["net"]
        if self.heads == ("log_density",):
            net: nn.Module = LogDensity.fitted(
                self.path, first, second, net=chosen, cond=labels, seed=self.seed
            )
            return net if isinstance(chosen, nn.Module) else net.float()
        net = choose_net(chosen, self.shape, len(self.heads), labels, self.seed)
        return net if net is chosen else net.float()  # data are float32, whatever torch's default type

    def _prepared(self, net: nn.Module) -> tuple[nn.Module, JointLoss]:
        """The network as the fields use it, and the loss that suits it."""
        if not self._params["precondition"]:
            return net, self._loss
        wrapped = Preconditioned(net, self.path, self.heads, self._data_std)
        return wrapped, joint_loss(self.heads, self.path, wrapped.weight)

    def _set_aside(
        self, first: Tensor | None, labels0: Tensor | None, second: Tensor, labels: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, Tensor, Tensor | None, HeldOut | None]:
        """The rows to learn from, and those that training must not see, if any are held out."""
        share = self._params["held_out"]
        if not share:
            return first, labels0, second, labels, None
        paired = isinstance(self.coupling, Paired)
        second, labels, away1, cond = set_aside(share, second, labels, self.seed, 1)
        away0 = cond0 = None
        if first is not None:
            first, labels0, away0, cond0 = set_aside(share, first, labels0, self.seed, 1 if paired else 0)
        return first, labels0, second, labels, HeldOut(away0, away1, cond, cond0)

    def _encoded(self, rows: HeldOut) -> HeldOut:
        x0 = None if rows.x0 is None else self.normaliser.encode(rows.x0)
        return HeldOut(x0, self.normaliser.encode(rows.x1), rows.cond, rows.cond0)

    def _take_data(
        self, x0: Any, x1: Any, cond: Any, cond0: Any
    ) -> tuple[Tensor | None, Tensor, Tensor | None, Tensor | None, Kind, Any]:
        """Both ends, what is known of their rows, the kind of x1, and x0 itself where it has a density."""
        if x1 is None:
            one = "fit(x1=...)" if self.path.is_one_sided else "fit(x0, x1)"
            raise invalid("Bridge.fit", "x1 is needed", "None", f"Call {one}.")
        source = generator(self.seed, "start laws")
        second, kind = as_tensor(x1, "Bridge.fit", "x1", samples=LAW_SAMPLES, generator=source)
        choices.warn_about_loss_of_detail(second, "x1")
        first: Tensor | None = None
        density0 = None
        if self.path.is_one_sided:
            if x0 is not None:
                remedy = "Leave x0 out, or take a two-sided path such as 'linear'."
                what = f"samples, on the path {type(self.path).__name__}"
                raise invalid(
                    "Bridge.fit", "a one-sided path draws x0 from its own Gaussian base", what, remedy
                )
        elif x0 is None and self.path.is_static:
            first = None
        elif x0 is None:
            remedy = "Pass fit(x0, x1), or take a one-sided path such as 'one_sided_linear' to start from a Gaussian."
            raise invalid("Bridge.fit", "a two-sided path needs x0", "None", remedy)
        else:
            first, _ = as_tensor(x0, "Bridge.fit", "x0", samples=LAW_SAMPLES, generator=source)
            first = first.float()
            if isinstance(self.coupling, OwnCoupling):
                self.coupling.refuse("Bridge.fit")
            density0 = x0 if callable(getattr(x0, "log_prob", None)) else None
            if first.shape[1:] != second.shape[1:]:
                rule = f"x0 and x1 must have the same event shape, {tuple(second.shape[1:])}"
                raise invalid("Bridge.fit", rule, tuple(first.shape[1:]), "Bring both to one shape.")
        labels = of_rows(cond, len(second), "cond", "x1")
        labels0 = None if first is None else of_rows(cond0, len(first), "cond0", "x0")
        return first, second.float(), labels, labels0 if first is not None else None, kind, density0

    @property
    def fields(self) -> LearnedFields:
        """The learnt fields, in the network's (standardised) units.

        Raises:
            InvalidInputError: If the bridge is not fitted.
        """
        net = self._fitted("fields")
        if len(self.heads) > 1:
            return LearnedFields(self.path, joint=net, heads=self.heads)
        mean1 = None if self._pool1 is None else self._pool1.x.mean(0)
        given: dict[str, Any] = {self.heads[0]: net}
        return LearnedFields(self.path, mean1=mean1, **given)

    def _fitted(self, what: str) -> nn.Module:
        if self.net is None:
            raise invalid(
                f"Bridge.{what}", "the bridge must be fitted", "one that is not", "Call fit(x0, x1) first."
            )
        return self.net

    # --- sampling

    def sample(
        self,
        n: int,
        *,
        eps: Any = 0.0,
        reverse: bool = False,
        seed: int | None = None,
        cond: Any = None,
        guidance: Any = None,
        guidance_interval: tuple[float, float] = (0.0, 1.0),
        first_index: int = 0,
        details: bool = False,
        **options: Any,
    ) -> Any:
        """Draw ``n`` samples of rho1 (of rho0 when ``reverse``).

        Starts come from the Gaussian base, or from the stored samples of the other end, with replacement. Labels belong
        to rows of rho1: where these are the starts, a sample starts from one of its own label. So it does from
        rho0 where a coupling paired within labels of both ends.

        Args:
            n: Number of samples.
            eps: Noise level; 0 runs the ODE. A number, a function of t, a ``dynamics.NoiseLevel``, or ``"auto"``: the
                level that :meth:`choose_eps` finds best on data that training has not seen.
            reverse: Generate rho0 from rho1.
            seed: Seed of starts and noise; drawn afresh when None.
            cond: One condition for all samples (a label, a vector), or one row per sample.
            guidance: Strength w of classifier-free guidance, ``f_u + w (f_c - f_u)`` between the fields without and
                with the condition: a number, a function of t, or one per sample. None or 1 is the condition alone;
                it needs ``drop_condition > 0`` in training.
            guidance_interval: Times between which there is guidance.
            first_index: Index of the first sample in a larger job, so that parts agree with the whole.
            details: Return ``dynamics.Samples`` (in data units) instead of the plain array.
            options: Anything else that ``dynamics.sample`` takes: ``method``, ``n_steps``, ``time_grid``, ``chunk`` ...

        Returns:
            ``(n, *D)`` in the kind that ``x1`` had, or the details.
        """
        self._fitted("sample")
        n = check_count(n)
        seed = secrets.randbits(31) if seed is None else seed
        given = self._expand(cond, n)
        start = self._start(n, reverse, seed, first_index, given)
        target = self._target(given, guidance, guidance_interval)
        done = self._run(start, eps, reverse, seed, target, first_index, options)
        assert self._kind is not None
        return done if details else restore(done.x, self._kind)

    def transport(
        self,
        x: Any,
        *,
        eps: Any = 0.0,
        reverse: bool = False,
        seed: int | None = None,
        cond: Any = None,
        guidance: Any = None,
        guidance_interval: tuple[float, float] = (0.0, 1.0),
        first_index: int = 0,
        details: bool = False,
        **options: Any,
    ) -> Any:
        """Carry given points from rho0 to rho1 (from rho1 to rho0 when ``reverse``).

        Args:
            x: Points ``(n, *D)`` in data units.
            eps: As in :meth:`sample`.
            reverse: Carry points of rho1 to rho0.
            seed: Seed of the noise; drawn afresh when None.
            cond: As in :meth:`sample`.
            guidance: As in :meth:`sample`.
            guidance_interval: As in :meth:`sample`.
            first_index: As in :meth:`sample`.
            details: Return ``dynamics.Samples`` (in data units) instead of the plain array.
            options: As in :meth:`sample`.

        Returns:
            ``(n, *D)`` in the kind of ``x``, or the details.
        """
        self._fitted("transport")
        points, kind = self._points(x, "transport", attached=bool(options.get("differentiable")))
        seed = secrets.randbits(31) if seed is None else seed
        start = self.normaliser.encode(points)
        target = self._target(self._expand(cond, len(start)), guidance, guidance_interval)
        done = self._run(start, eps, reverse, seed, target, first_index, options)
        return done if details else restore(done.x, kind)

    def _run(
        self,
        start: Tensor,
        eps: Any,
        reverse: bool,
        seed: int,
        target: tuple[Fields, Condition],
        first: int,
        options: dict[str, Any],
    ) -> Samples:
        choices.check_options("Bridge", options, run_dynamics)
        fields, cond = target
        done = run_dynamics(
            fields,
            start,
            eps=self._level(eps),
            reverse=reverse,
            seed=seed,
            cond=cond,
            first_index=first,
            **options,
        )
        path = None if done.path is None else self.normaliser.decode(done.path)
        return replace(done, x=self.normaliser.decode(done.x), path=path)

    def _target(
        self, cond: Tensor | None, guidance: Any, interval: tuple[float, float]
    ) -> tuple[Fields, Condition]:
        """The fields to follow and the condition to follow them with."""
        if guidance is None:
            return self.fields, cond
        if cond is None or not self._params["drop_condition"]:
            found = "no condition" if cond is None else "a bridge with drop_condition=0"
            remedy = "Fit Bridge(drop_condition=0.1, ...) with cond=, and pass cond= here."
            raise invalid("Bridge", "guidance needs a bridge that knows both its fields", found, remedy)
        strength = guidance
        if not callable(guidance):
            strength = torch.as_tensor(guidance, dtype=torch.float32)
            if strength.ndim > 1 or (strength.ndim == 1 and len(strength) != len(cond)):
                rule = f"guidance must be a number, a function of t or one number per sample, ({len(cond)},)"
                raise invalid("Bridge", rule, tuple(strength.shape))
        return guide(self.fields, cond, strength, interval)

    def _start(self, n: int, reverse: bool, seed: int, first: int, cond: Tensor | None) -> Tensor:
        """Start points in the network's units; of the samples' own labels where these say something of the starts."""
        pool = self._pool1 if reverse or self._pool0 is None else self._pool0
        if not reverse and self.path.base is not None:
            return draw_base(self.path.base, self.shape, n, seed, first)
        assert pool is not None
        within = pool.cond is not None and getattr(self.coupling, "within", None) is not None
        told = cond is not None and not cond.is_floating_point() and (pool is self._pool1 or within)
        return pool.draw(n, seed, first, cond if told else None)

    def _points(self, x: Any, who: str, *, attached: bool = False) -> tuple[Tensor, Kind]:
        points, kind = as_tensor(x, f"Bridge.{who}", "x", detach=not attached)
        if tuple(points.shape[1:]) != self.shape:
            rule = f"x must have the event shape the bridge was fitted to, {self.shape}"
            remedy = "Give one such sample per row, with the columns of the training."
            raise invalid(f"Bridge.{who}", rule, tuple(points.shape[1:]), remedy)
        return points.float(), kind

    def _expand(self, cond: Any, n: int) -> Tensor | None:
        return for_samples(cond, n, None if self._pool1 is None else self._pool1.cond)

    # --- the noise level

    @property
    def held_out(self) -> HeldOut | None:
        """The rows that training did not see, in the network's units, if any were set aside."""
        return self._held

    def choose_eps(
        self, x0: Any = None, x1: Any = None, *, cond: Any = None, cond0: Any = None, **options: Any
    ) -> EpsChoice:
        """Choose the noise level on data that training has not seen; kept for ``eps="auto"`` and saved with the bridge.

        It is made for the forward SDE; ``eps="auto"`` takes it for the backward one too, whose bound is the same.

        Args:
            x0: Held-out samples of rho0 in data units; left out where the path has a Gaussian base (or is a mirror).
            x1: Held-out samples of rho1, at least 200; without them the rows that ``Bridge(held_out=...)`` set aside.
            cond: What is known of each row of ``x1``.
            cond0: Likewise for ``x0``; used by couplings that pair within labels.
            options: Anything else that ``estimator.auto_eps`` takes: ``criterion``, ``n``, ``n_steps``, ``seed`` ...

        Returns:
            The choice, its candidates and the reason; print its ``table()``.

        Raises:
            InvalidInputError: If there are no held-out data, or no score.
        """
        self._fitted("choose_eps")
        choices.check_options("Bridge.choose_eps", options, auto_eps)
        rows = self._held if x1 is None else self._held_out_rows(x0, x1, cond, cond0)
        if rows is None:
            remedy = "Call choose_eps(x0, x1) with such data, or fit Bridge(held_out=0.1)."
            rule = "eps='auto' needs data that training has not seen"
            raise invalid("Bridge.choose_eps", rule, "none", remedy)
        seed, base = options.get("seed", self.seed), self.path.base
        if base is not None:
            start = draw_base(base, self.shape, len(rows.x1), seed, 0)
        else:
            start = rows.x1 if rows.x0 is None else rows.x0
        known_leg = self.leg is not None or self._density0 is not None or base is not None
        density = self._base_density(None, False) if known_leg else None
        paired = isinstance(self.coupling, Paired)
        given = {"base": density, "paired": paired, "cond": rows.cond, "seed": seed, **options}
        if (
            rows.x0 is not None
            and not isinstance(self.coupling, Independent | Paired)
            and "errors" not in given
        ):
            given["errors"] = self._errors_over_pairs(rows, seed)
        self.eps_choice = auto_eps(self.fields, start, rows.x1, **given)
        return self.eps_choice

    def _errors_over_pairs(self, rows: HeldOut, seed: int) -> SquaredErrors:
        """The fields are means over pairs as the coupling makes them: so are their errors."""
        assert rows.x0 is not None
        source, n, size = generator(seed, "loss pairs"), len(rows.x1), self.settings.batch_size
        labels: dict[str, Any] = {"cond": rows.cond, "cond0": rows.cond0}
        who = "Bridge.choose_eps"
        x0, x1, cond = draw_pairs(rows.x0, rows.x1, n, self.coupling, size, source, **labels, who=who)
        return held_out_errors(self.fields, x0, x1, paired=True, cond=cond, generator=source)

    def _held_out_rows(self, x0: Any, x1: Any, cond: Any, cond0: Any) -> HeldOut:
        points, _ = self._points(x1, "choose_eps")
        start = None if x0 is None else self._points(x0, "choose_eps")[0]
        if start is None and self.path.base is None and not self.path.is_static:
            raise invalid(
                "Bridge.choose_eps", "a two-sided path needs x0 too", "None", "Pass choose_eps(x0, x1)."
            )
        labels0 = None if start is None else of_rows(cond0, len(start), "cond0", "x0")
        return self._encoded(HeldOut(start, points, self._expand(cond, len(points)), labels0))

    def _level(self, eps: Any) -> Any:
        """A noise level as ``dynamics`` takes it."""
        if not (isinstance(eps, str) and eps == "auto"):
            return eps
        return (self.eps_choice or self.choose_eps()).eps

    # --- likelihood

    def log_prob(
        self,
        x: Any,
        *,
        cond: Any = None,
        details: bool = False,
        leg: "dict[str, Any] | Bridge | None" = None,
        progress: bool = False,
        **options: Any,
    ) -> Any:
        """Log density of the model of rho1 at ``x``, in nats per row (data units).

        It needs the density of rho0: the Gaussian base of a one-sided path, or ``log_prob`` of what was passed as x0.
        With two sample sets there is none; a Gaussian -> rho0 leg is then trained once, said in a warning, kept in
        ``bridge.leg`` and saved with the bridge.

        Args:
            x: Points ``(n, *D)`` in data units.
            cond: As in :meth:`sample`.
            details: Return ``likelihood.LogProb`` instead of the plain array.
            leg: A fitted bridge to rho0 to use, or settings for the one to train, e.g. ``{"steps": 5000}``.
            progress: Show a progress bar if the leg must be trained.
            options: Anything else that ``likelihood.log_prob`` takes: ``eps`` for the density of the SDE's model,
                ``noise_level`` (like ``eps``, in standardised units), ``divergence``, ``probes``, ``method`` ...

        Returns:
            ``(n,)`` in the kind of ``x``, or the details.
        """
        self._fitted("log_prob")
        choices.check_options("Bridge.log_prob", options, flow_log_prob)
        if options.get("end", 1) != 1:
            remedy = "For the law of x0: likelihood.log_prob(bridge.fields, x, density of rho1, end=0)."
            raise invalid("Bridge.log_prob", "end must be 1, the law of x1", options["end"], remedy)
        if "eps" in options:
            options["eps"] = self._level(options["eps"])
        points, kind = self._points(x, "log_prob", attached=bool(options.get("differentiable")))
        encoded = self.normaliser.encode(points)
        base = self._base_density(leg, progress)
        done = flow_log_prob(self.fields, encoded, base, cond=self._expand(cond, len(encoded)), **options)
        volume = self.normaliser.log_volume(self.shape)
        result = replace(done.shifted(volume), x=self.normaliser.decode(done.x))
        return result if details else restore(result.log_prob, kind)

    def _base_density(self, leg: "dict[str, Any] | Bridge | None", progress: bool) -> Any:
        """The density of rho0 in the network's units."""
        if self.path.base is not None:
            return self.path.base
        if self._density0 is None:
            if isinstance(leg, Bridge):
                self.leg = leg
            elif self.leg is not None and leg is not None:
                remedy = "Leave leg out, or set bridge.leg = None first to train another."
                raise invalid("Bridge.log_prob", "a leg can be trained once, and there is one", leg, remedy)
            elif self.leg is None:
                self.leg = self._train_leg(leg or {}, progress)
        source = self._density0 if self._density0 is not None else self.leg
        return InNetworkUnits(source, self.normaliser, self.shape)

    def _train_leg(self, settings: dict[str, Any], progress: bool) -> "Bridge":
        if self._pool0 is None:
            raise invalid(
                "Bridge.log_prob", "the density of rho0 is needed", "none", "Take a one-sided path."
            )
        warnings.warn(
            "Bridge.log_prob: rho0 was given by samples and has no density, so a Gaussian -> rho0 bridge is trained on "
            f"{len(self._pool0.x)} of them first; its error adds to log_prob. Pass leg=... to bring or tune your own.",
            stacklevel=3,
        )
        own = {key: value for key, value in self._train.items() if key != "seed"}
        net = self._params["net"] if not isinstance(self._params["net"], nn.Module) else "auto"
        leg = Bridge("one_sided_linear", net=net, seed=self.seed + 1, **{**own, **settings})
        return leg.fit(x1=self.normaliser.decode(self._pool0.x), progress=progress)

    # --- trust and storage

    def examples(self, n: int, *, seed: int = 0) -> Examples:
        """At most ``n`` rows of each end in data units: held-out ones where some were set aside, else training data.

        Args:
            n: Number of rows.
            seed: Seed of the draws from the base, on paths that have one.
        """
        self._fitted("examples")
        assert self._pool1 is not None
        n, held = check_count(n), self._held
        x1 = (self._pool1.x if held is None else held.x1)[:n]
        cond = self._pool1.cond if held is None else held.cond
        if self.path.base is not None:
            x0: Tensor | None = draw_base(self.path.base, self.shape, n, seed, 0)
            cond0 = None
        elif held is not None:
            x0, cond0 = held.x0, held.cond0
        else:
            x0, cond0 = (None, None) if self._pool0 is None else (self._pool0.x, self._pool0.cond)
        x0, cond0 = x1 if x0 is None else x0[:n], None if cond0 is None else cond0[:n]
        paired = self._pool0 is not None and isinstance(self.coupling, Paired) and len(x0) == len(x1)
        decode, cond = self.normaliser.decode, None if cond is None else cond[:n]
        return Examples(decode(x0), decode(x1), cond, held is not None, paired, cond0)

    def training_rows(self, n: int) -> tuple[Tensor, Tensor | None]:
        """At most ``n`` rows of rho1 that it was trained on, in data units, and their conditions."""
        self._fitted("training_rows")
        assert self._pool1 is not None
        cond = self._pool1.cond
        return self.normaliser.decode(self._pool1.x[:n]), None if cond is None else cond[:n]

    @property
    def classes(self) -> int:
        """Number of labels the bridge was conditioned on; 0 for none, or for conditions that are no labels."""
        cond = None if self._pool1 is None else self._pool1.cond
        return 0 if cond is None or cond.is_floating_point() else int(cond.max()) + 1

    @property
    def is_conditional(self) -> bool:
        """Whether it was fitted with a condition."""
        return self._pool1 is not None and self._pool1.cond is not None

    def loss_at(self, t: float, x0: Any, x1: Any, *, cond: Any = None, seed: int = 0) -> dict[str, Tensor]:
        """Loss of each learnt quantity at one time, per row, in the network's units.

        Args:
            t: The time, inside (0, 1).
            x0: Starts ``(n, *D)`` in data units, row by row with ``x1``; ignored on a path with a base.
            x1: Ends ``(n, *D)`` in data units.
            cond: Condition of each end.
            seed: Seed of the latent noise.

        Returns:
            ``(n,)`` for each name in ``heads``.
        """
        net, (second, _) = self._fitted("loss_at"), self._points(x1, "loss_at")
        encoded = self.normaliser.encode(second)
        first = None
        if self.path.base is None and not self.path.is_static:
            first = self.normaliser.encode(self._points(x0, "loss_at")[0])
        times = torch.full((len(encoded),), float(t))
        source, given = generator(seed, "loss at a time"), self._expand(cond, len(encoded))
        with torch.no_grad():
            return self._loss(net, x0=first, x1=encoded, t=times, cond=given, generator=source)

    def check(self, *, n: int = 2000, seed: int = 0, eps: float = 0.5) -> CheckReport:
        """Test the trained bridge against itself and against its data; see ``estimator.check``.

        Args:
            n: Samples per test.
            seed: Seed of the test draws.
            eps: Noise level of the SDE tests.
        """
        self._fitted("check")
        assert self._pool1 is not None
        return check_bridge(
            self.fields,
            self._pool0,
            self._pool1,
            self.shape,
            n=n,
            seed=seed,
            eps=eps,
            coupling=self.coupling,
            batch_size=self.settings.batch_size,
        )

    def save(self, folder: str | FilePath) -> FilePath:
        """Write the bridge to a folder: safetensors and JSON, no code. An older bridge there is replaced.

        A law that was given as x0 is kept if it has a card and plain settings; without it ``log_prob`` trains a leg.
        Of a coupling of your own the name is kept: before a loaded bridge is fitted again or checked, set ``coupling``.

        Raises:
            InvalidInputError: If the path or network is a function or class of your own, which a file cannot hold.
        """
        from interpolants.estimator.store import save_bridge

        return save_bridge(self, FilePath(folder))

    @classmethod
    def load(cls, folder: str | FilePath) -> "Bridge":
        """Read a bridge that :meth:`save` wrote.

        Raises:
            InvalidInputError: If the folder is missing, damaged or not a bridge.
        """
        from interpolants.estimator.store import load_bridge

        return load_bridge(FilePath(folder))

    def __repr__(self) -> str:
        state = "fitted" if self.net is not None else "not fitted"
        return f"Bridge(path={type(self.path).__name__}, learn={self.heads}, shape={self.shape}, {state})"
