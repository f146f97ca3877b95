"""Recurrent network whose posterior is a free vector for every series and step: predictive coding of short series."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Self

import torch
from torch import Tensor, nn

from interpolants.foundations.asked import invalid, who
from interpolants.foundations.checks import whole
from interpolants.foundations.kinds import Answer, Check, Count, NonNegative, OneOrEach, Whole
from interpolants.foundations.randomness import BLOCK, by_block, generator
from interpolants.framework.answers import Ensemble
from interpolants.framework.capabilities import capability
from interpolants.framework.series import STEPS, listed
from interpolants.framework.stages import Run
from interpolants.methods.parts.series import over_time, up_to_last_value
from interpolants.metrics.lyapunov import LyapunovSpectrum, map_lyapunov_spectrum
from interpolants.sciml.processes.error_regression import Rate, RegressionSettings, regressed, windows_over
from interpolants.sciml.processes.latent_recurrence import layers_of
from interpolants.sciml.processes.output_laws import OutputLaw
from interpolants.sciml.processes.predictive_model import (
    AdaptiveVectors,
    Explained,
    MetaPrior,
    PredictiveModel,
    SequenceBatches,
    Sequences,
    TrainingLoss,
    explained,
)
from interpolants.sciml.processes.predictive_session import Session
from interpolants.sciml.processes.series_network import SeriesNetwork
from interpolants.training.pairs import finished

# Iterations in which vectors of whole series are found, in those of a window; members drawn for their means.
_WHOLE, _STEPS_OF_EXPONENTS, _SETTLE, _STARTS = 10, 1000, 200, 8


@dataclass(frozen=True)
class Generated:
    """Series from the prior.

    Attributes:
        mean: Expected values given the states, ``(n, T, C)`` in data units.
        drawn: Values drawn from them.
        spread: Deviation of the prior of each latent unit at each step, ``(n, T, Z)``.
    """

    mean: Tensor
    drawn: Tensor
    spread: Tensor


class PVRNN(SeriesNetwork):
    """A recurrent network with latent noise that learns a probabilistic structure from a few short series.

    There is no encoder: each training series has a free vector at each of its steps, learnt with the weights, which
    says what the noise was there. New series are explained by fitting such vectors to the last ``window`` values, with
    fixed weights; the prior then goes on::

        model = PVRNN(output="bernoulli", meta_prior=0.05).fit(series)    # a list of arrays (T, C), or (N, T, C)
        model.sample(100, steps=60)                                       # free generation
        model.forecast(past, steps=6).mean                                # error regression over a sliding window
        session = model.follow(); session.feed(frame).surprise            # one value at a time

    The bound that is maximised is, for each step, ``1/C sum_c log p(x_c | d) - sum_l w_l / Z_l KL(q_l || p_l)``. With a
    small w noise does what is not explained; with a large one the network imitates chance by its own dynamics, or
    loses it.

    Raises:
        InvalidInputError: If a setting is out of range, or when fitted, a value lies outside the range of the output.

    Source: Ahmadi & Tani (2019), Neural Computation 31, 2025-2074, arXiv:1811.01339. Ours: all layers in one product a
    step with its own derivative, per-series state of the optimizer, series of any length, gaps.
    """

    layers: Annotated[Any, Check(layers_of, "list of tables")] = ({"d": 12, "z": 1, "tau": 1.5},)
    """Tables with ``d`` deterministic and ``z`` latent units and a time constant ``tau`` (or one for each unit), the
    first nearest to the output. A layer sees the last states of its neighbours."""
    meta_prior: OneOrEach[NonNegative] = 0.05
    """w, for all layers or one for each."""
    first_meta_prior: OneOrEach[NonNegative] | None = None
    """w at the first step of a series; as later if not given."""
    posterior: Literal["hidden", "free"] = "hidden"
    """``"hidden"``: the adaptive vector is added to a function of the state; ``"free"``: it is all."""
    shared: bool = True
    """Whether that function is the prior's own."""
    window: Answer[Count] = 12
    """Steps that are fitted when series are forecast or followed."""
    iterations: Answer[Whole] = 50
    """Steps of Adam each time that the window moves; 0 for the prior alone, which is told nothing of the series."""
    regression_rate: Answer[Rate] = 0.09
    """Their learning rate."""

    def check_settings(self) -> None:
        """Refuse weights that are not those of the layers."""
        super().check_settings()
        self._prior()

    def _prior(self) -> MetaPrior:
        first = self.meta_prior if self.first_meta_prior is None else self.first_meta_prior
        return MetaPrior(
            self._of_layers("meta_prior", self.meta_prior), self._of_layers("first_meta_prior", first)
        )

    def _of_layers(self, name: str, given: OneOrEach[float]) -> tuple[float, ...]:
        """Values of w, one for each layer."""
        many = tuple(given) if isinstance(given, Sequence) else (given,) * len(self.layers)
        if len(many) != len(self.layers):
            raise invalid(
                f"{name} must be one number, or one for each of {len(self.layers)} layers", len(many)
            )
        return many

    def _regression(self) -> RegressionSettings:
        return RegressionSettings(self.window, self.iterations, self.regression_rate)

    def fit(self, series: Any, **options: Any) -> Self:
        """Learn weights, and the vectors of each series.

        Args:
            series: A list of arrays ``(T, C)`` or tables with dates, of any lengths, or an array ``(N, T, C)``. NaN is
                a gap; times after the last value of a series are not part of it.
            options: As in :meth:`interpolants.framework.method.Method.fit`.
        """
        return super().fit(series, **options)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """One gradient loop over all series or batches of them, in which vectors of other series do not move."""
        many = listed(data["series"])
        law = OutputLaw.of(many, self.output, self.limits, self.noise, self.bins)
        sequences = Sequences.of(many, law)
        model = PredictiveModel(self.layers, self.posterior, self.shared, law, self.seed)
        count, longest = sequences.y.shape[:2]
        vectors = AdaptiveVectors(count, longest, model.net.z)
        modules = nn.ModuleDict({"model": model, "vectors": vectors})
        loss = TrainingLoss(self._prior(), float(sequences.lengths.double().mean()))
        groups = {
            **self.groups,
            "vectors": {"weight_decay": 0.0, **self.groups.get("vectors", {}), "rows": True},
        }
        batches = SequenceBatches(sequences, self.batch_size)
        result = run.train("network", modules, loss, batches, self.training(groups=groups))
        for name, part in modules.items():
            finished(part, result, prefix=f"{name}.")
        last = many[-1]
        return {
            "weights": {name: value.detach() for name, value in model.state_dict().items()},
            "vectors": vectors.values.detach(),
            "law": law.parts(),
            "data": {"y": sequences.y, "seen": sequences.seen, "lengths": sequences.lengths},
            "last": up_to_last_value(who(), last),
        }

    # --- what was learnt

    @property
    def model(self) -> PredictiveModel:
        """The network with its weights."""
        state = self.fitted_state("model")
        model = PredictiveModel(
            self.layers, self.posterior, self.shared, OutputLaw(**state["law"]), self.seed
        )
        model.load_state_dict(state["weights"])
        return model.requires_grad_(False)

    def inferred(self, *, draws: int = 8, seed: int = 0) -> Explained:
        """Reconstructions of the training series, and where the posterior differs from the prior.

        Args:
            draws: Draws of the noise that are averaged over.
            seed: Seed of the noise.
        """
        whole(who(), "draws", draws, at_least=1)
        state = self.fitted_state("inferred")
        return explained(self.model, Sequences(**state["data"]), state["vectors"], self._prior(), draws, seed)

    def reconstruct(self, ids: Sequence[int] | None = None, *, seed: int = 0) -> list[Tensor]:
        """Training series, and those that were registered, as the network makes them from their vectors.

        Args:
            ids: Numbers of series, in the order of the fit; all if none are given.
            seed: Seed of the noise.

        Returns:
            One ``(T, C)`` for each, in data units.

        Raises:
            InvalidInputError: If there is no such series.
        """
        lengths = self.fitted_state("reconstruct")["data"]["lengths"].tolist()
        asked = range(len(lengths)) if ids is None else ids
        for one in asked:
            if not 0 <= one < len(lengths):
                remedy = "Call register_sequences(series) first: it finds vectors for new series."
                raise invalid(f"ids must be 0 ... {len(lengths) - 1}", one, remedy)
        mean = self.inferred(seed=seed).mean
        return [mean[one, : lengths[one]] for one in asked]

    def register_sequences(self, series: Any, *, iterations: int | None = None, seed: int = 0) -> "PVRNN":
        """The same network with vectors for further series, found with fixed weights; it itself stays as it is.

        Args:
            series: As for the fit.
            iterations: Steps of Adam; ten times those of a window if not given.
            seed: Seed of the noise.

        Returns:
            A fitted network that knows N + M series: new ones have the ids N, N + 1, ...
        """
        whole(who(), "iterations", iterations or 0, at_least=0)
        many = listed(self.read_like_fit("register_sequences", {"series": series})["series"])
        state, model = self.state, self.model
        new = Sequences.of(many, model.law)
        count = iterations or _WHOLE * max(self.iterations, 1)
        vectors = new.y.new_zeros(*new.y.shape[:2], 2 * model.net.z)
        for rows, length in new.by_length():
            settings = RegressionSettings(length, count, self.regression_rate)
            y, seen = (part[rows, :length].transpose(0, 1) for part in (new.y, new.seen))
            fitted = regressed(model, self._prior(), settings, y, seen, rows, seed=seed)
            vectors[rows, :length] = fitted.vectors.detach().transpose(0, 1)
        both = {name: _joined(state["data"][name], getattr(new, name)) for name in ("y", "seen", "lengths")}
        known = {**state, "vectors": _joined(state["vectors"], vectors), "data": both}
        return self.clone().take_over({**self.learnt(), "state": known})

    # --- answers

    def generate(self, n: int, *, steps: int | None = None, seed: int = 0, first_index: int = 0) -> Generated:
        """Series from the prior, with the deviations of its noise; series i belongs to (seed, i).

        Args:
            n: Number of series.
            steps: T; as long as the longest of the fit if not given.
            seed: Seed of the noise.
            first_index: Index of the first series in a larger job.
        """
        state = self.fitted_state("generate")
        length = state["data"]["y"].shape[1] if steps is None else steps
        whole(who(), "n", n, at_least=1), whole(who(), "steps", length, at_least=1)
        model = self.model
        width = model.net.z + len(model.law.shift)

        def normal(source: torch.Generator) -> Tensor:
            return torch.randn(BLOCK, length, width, dtype=torch.float64, generator=source)

        noise = by_block(normal, seed, ("free generation",), first=first_index, count=n)
        eps, of_values = noise[..., : model.net.z], noise[..., model.net.z :]
        start = torch.zeros(n, model.net.d, dtype=torch.float64)
        h, log_std = model.net.generated(start, eps.transpose(0, 1), begins=True)
        out = model.output(h).transpose(0, 1)
        spread = log_std.exp().transpose(0, 1)
        return Generated(model.law.mean(out), model.law.drawn(out, of_values), spread)

    @capability()
    def sample(
        self, n: Count, *, steps: Count | None = None, draw: bool = True, seed: int = 0, first_index: int = 0
    ) -> Tensor:
        """Series from the prior, ``(n, T, C)`` in data units.

        Args:
            n: Number of series.
            steps: T; as long as the longest of the fit if not given.
            draw: Draw values given the states; False gives what is expected of them (a chance, for symbols).
            seed: Seed of the noise.
            first_index: Index of the first series in a larger job.
        """
        made = self.generate(n, steps=steps, seed=seed, first_index=first_index)
        return made.drawn if draw else made.mean

    @capability(reads={"context": "series"}, like="context")
    def forecast(
        self,
        /,
        context: Any = None,
        *,
        members: Count = 20,
        steps: Count = 6,
        seed: int = 0,
        **settings: Any,
    ) -> Ensemble:
        """Members of what follows series, ``(B, M, S, C)`` expected values in data units.

        A window goes over each series from its beginning: first its first W steps, then one step at a time.

        Args:
            context: The series so far, gaps allowed, one or several; the last of the fit if none is given.
            members: M.
            steps: S.
            seed: Seed of the noise.
            settings: Settings of answers, for this call.

        Raises:
            InvalidInputError: If a series is shorter than the window.
        """
        many = [self.state["last"]] if context is None else listed(context)
        found: dict[int, Tensor] = {}
        for rows, state in windows_over(self.model, self._prior(), many, self._regression(), seed):
            found |= dict(zip(rows, self.model.law.mean(state.members(members, steps)[1]), strict=True))
        x = torch.stack([found[k] for k in range(len(many))])
        first = many[0]
        if all(torch.equal(one.times[-1:], first.times[-1:]) for one in many):
            return over_time(x, first, first.after(steps))
        return over_time(x, replace(first, clock=STEPS), torch.arange(1, steps + 1, dtype=torch.float64))

    @capability(reads={"x": "series"}, like="x")
    def complete(
        self, x: Any, *, members: Count = 20, iterations: Whole | None = None, seed: int = 0
    ) -> Ensemble:
        """Members of whole series, ``(B, M, T, C)``: gaps filled given all that was seen, which stays as it is.

        Args:
            x: Series of one length with gaps, one or several.
            members: M.
            iterations: Steps of Adam for whole series; ten times those of a window if not given.
            seed: Seed of the noise.
        """
        many = listed(x)
        if len({len(one) for one in many}) > 1:
            raise invalid("series must be of one length", sorted({len(one) for one in many}), "Ask for each.")
        count = iterations or _WHOLE * max(self.iterations, 1)
        settings = RegressionSettings(len(many[0]), count, self.regression_rate)
        ((_, state),) = windows_over(self.model, self._prior(), many, settings, seed)
        made = self.model.law.mean(state.members(members, 0)[0])
        known, seen = (
            torch.stack([getattr(one, name) for one in many])[:, None] for name in ("values", "seen")
        )
        return over_time(torch.where(seen, known, made), many[0], many[0].times)

    def follow(
        self,
        *,
        window: int | None = None,
        iterations: int | None = None,
        members: int = 20,
        steps: int = 6,
        seed: int = 0,
    ) -> Session:
        """A live session, that is fed one step at a time.

        Args:
            window: Steps that are fitted; as the settings say if not given.
            iterations: Steps of Adam each time, likewise.
            members: Members of predictions.
            steps: Steps ahead.
            seed: Seed of the noise.
        """
        self.fitted_state("follow")
        given = {"window": window, "iterations": iterations}
        asked = self.answering_with({name: value for name, value in given.items() if value is not None})
        return Session(
            self.model, self._prior(), asked._regression(), members=members, steps=steps, seed=seed,
            columns=self.columns("series"),
        )  # fmt: skip

    def exponents(self, *, steps: int = _STEPS_OF_EXPONENTS, seed: int = 0) -> LyapunovSpectrum:
        """Lyapunov exponents per step of the network without noise: a positive one is chaos of its own.

        Args:
            steps: Steps that are averaged over, from eight starts along generated series.
            seed: Seed of the starts.
        """
        whole(who(), "steps", steps, at_least=1)
        self.fitted_state("exponents")
        net, source = self.model.net, generator(seed, "starts of exponents of a recurrent network")
        eps = torch.randn(30, _STARTS, net.z, dtype=torch.float64, generator=source)
        start = net.generated(torch.zeros(_STARTS, net.d, dtype=torch.float64), eps, begins=True)[0][-1]
        return map_lyapunov_spectrum(net.noise_free, start, steps=steps, settle=_SETTLE)


def _joined(x: Tensor, y: Tensor) -> Tensor:
    """Rows of both; the shorter ones filled up with zeros."""
    if x.ndim == 1:
        return torch.cat([x, y])
    longest = max(x.shape[1], y.shape[1])
    wide = [torch.nn.functional.pad(part, (0, 0, 0, longest - part.shape[1])) for part in (x, y)]
    return torch.cat(wide)
