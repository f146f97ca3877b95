"""Evaluation of a trained bridge on held-out data: metrics with floors and baselines, and arrays for figures."""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from interpolants.dynamics.noise import NoiseLevel
from interpolants.dynamics.sample import Samples
from interpolants.foundations.errors import InterpolantsError, MissingExtraError
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.randomness import generator, key
from interpolants.methods.bridge.bridge import Bridge
from interpolants.methods.bridge.held_out import FEWEST
from interpolants.metrics.diversity import memorisation
from interpolants.metrics.energy_distance import energy_distance
from interpolants.metrics.estimate import Estimate
from interpolants.metrics.label_classifier import LabelClassifier
from interpolants.metrics.sliced_wasserstein import sliced_wasserstein
from interpolants.runs.config import EvaluateConfig
from interpolants.runs.eps_record import to_record
from interpolants.runs.sources import Rows, TaskData

# Random splits of the real data that the floor is averaged over.
_SPLITS = 10
_MOST_TIMES = 26
_PAIRS, _NEIGHBOURS = 200, 16
# Samples that the pairwise distances are computed for.
_MOST_PAIRWISE = 2000

Say = Callable[[str], None]


@dataclass
class Findings:
    """Result of an evaluation, in the form of the results file.

    Attributes:
        metrics: Headline numbers.
        table: One row per noise level.
        checks: Verdicts of the bridge's self-test.
        warnings: What the user should know.
        arrays: Named tensors for pictures.
        texts: Lines to show under a heading, for models of text.
        eps_choice: How the noise level was chosen, if it was.
    """

    metrics: list[dict[str, Any]] = field(default_factory=list)
    table: list[dict[str, Any]] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    arrays: dict[str, Tensor] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    eps_choice: dict[str, Any] | None = None


def evaluate(
    bridge: Bridge,
    data: TaskData,
    config: EvaluateConfig,
    say: Say = lambda text: None,
    *,
    progress: bool = False,
) -> Findings:
    """Sample at every noise level, in both directions where there are two, and compare with held-out data.

    Args:
        bridge: A fitted bridge.
        data: The data it was fitted to; only what is compared with training data looks at that part.
        config: What to do.
        say: Told what is being done.
        progress: Show a progress bar if a leg to rho0 must be trained.
    """
    work = Evaluation(bridge, data, config, progress)
    steps: list[tuple[str, Callable[[], None]]] = [
        ("noise level", work.choose_level),
        ("sampling", work.sample_all),
        ("classifier", work.classify),
        ("distances", work.compare),
        ("pictures", work.draw),
        ("likelihood", work.score),
        ("self-test", work.check),
    ]
    for name, step in steps:
        say(name)
        with work.noted(name):
            step()
    return work.found


class Evaluation:
    """The parts of an evaluation, and what they share."""

    def __init__(self, bridge: Bridge, data: TaskData, config: EvaluateConfig, progress: bool) -> None:
        self.bridge, self.data, self.config, self.progress = bridge, data, config, progress
        self.found = Findings(warnings=list(data.warnings))
        self.real = data.x1.test.head(config.n)
        self.start = self._starts()
        self.cond = self._conditions(len(self.start))
        self.samples: dict[float, Tensor] = {}
        self.nfe: dict[float, Samples] = {}
        self.accuracies: dict[float, Estimate] = {}
        # A level that was chosen, by the number it is shown as: its mean over time.
        self.chosen: dict[float, float | NoiseLevel] = {}
        self.judge: LabelClassifier | None = None

    @contextmanager
    def noted(self, what: str) -> Iterator[None]:
        """Keep warnings for the report; a part that fails is reported and the others go on."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                yield
            except InterpolantsError as error:
                self.found.warnings.append(f"{what}: {error}")
        for entry in caught:
            # Deprecations of the libraries below are no news to the reader of a report.
            if (
                issubclass(entry.category, UserWarning)
                and (text := str(entry.message)) not in self.found.warnings
            ):
                self.found.warnings.append(text)

    # --- sampling ----------------------------------------------------------------------------------------

    def _starts(self) -> Tensor:
        """Held-out x0, or as many draws of the base as there are held-out x1; in data units."""
        if self.data.x0 is not None:
            return self.data.x0.test.x[: self.config.n]
        base = self.bridge.first_path.base
        if base is None:  # a path from data back to data
            return self.real.x
        noise = base.noise(
            self.real.x.shape, generator=generator(self.config.seed, "evaluation start"), dtype=torch.float32
        )
        return self.bridge.frame.decode(base.color(noise))

    def _conditions(self, n: int) -> Tensor | None:
        """Conditions to ask for: the held-out ones in turn, so that samples compare with the held-out data."""
        rows = self.data.cond_test
        return None if rows is None else rows[torch.arange(n) % min(len(rows), max(len(self.real), 1))]

    def _options(self, eps: float) -> dict[str, Any]:
        method = self.config.method if eps == 0 else self.config.sde_method
        return {"eps": self.chosen.get(eps, eps), "n_steps": self.config.n_steps, "method": method}

    def move(self, x: Tensor, eps: float, cond: Tensor | None, stream: str = "", **options: Any) -> Samples:
        """Transport with this evaluation's settings."""
        seed = key(self.config.seed, stream) if stream else self.config.seed
        if cond is not None and self.config.guidance != 1:
            interval = tuple(self.config.guidance_interval)
            options |= {"guidance": self.config.guidance, "guidance_interval": interval}
        done: Samples = self.bridge.transport(
            x, cond=cond, seed=seed, details=True, **self._options(eps), **options
        )
        return done

    def choose_level(self) -> None:
        """The noise level that held-out data prefer, if that is asked for."""
        if not self.config.auto_eps:
            return
        rows = self._rows_to_choose_by()
        # A leg that an earlier evaluation left would lead to another choice than in a run that was never stopped.
        leg, self.bridge.state["leg"] = self.bridge.state["leg"], None
        try:
            choice = self.bridge.choose_eps(*rows[:2], cond=rows[2], seed=self.config.seed)
        finally:
            self.bridge.state["leg"] = leg
        self.found.eps_choice = to_record(choice)
        t = torch.linspace(0, 1, 101, dtype=torch.float64)
        mean = choice.eps if isinstance(choice.eps, float) else float(choice.eps.values(t, None).mean())
        shown = float(f"{mean:.3g}")
        if shown not in self.config.eps or isinstance(choice.eps, float):
            self.chosen[shown] = choice.eps

    def _rows_to_choose_by(self) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Held-out rows that nothing is judged on, where there are enough; x0, x1 and condition."""
        if self.bridge.held_out_rows is not None:
            return None, None, None
        test, n = self.data.x1.test, len(self.real)
        spare = len(test) - n >= FEWEST
        if not spare:
            text = "The noise level was chosen on the held-out data that the samples are compared with; "
            self.found.warnings.append(text + "set bridge.held_out for an independent choice.")
        part = slice(n, None) if spare else slice(None)
        x0 = None
        if self.data.x0 is not None:
            held = self.data.x0.test.x
            x0 = held[part] if len(held) - n >= FEWEST and spare else held
        cond = None if self.data.cond_test is None else self.data.cond_test[part]
        return x0, test.x[part], cond

    def sample_all(self) -> None:
        """Samples at every noise level that the bridge can run."""
        levels = list(dict.fromkeys([*self.config.eps, *self.chosen]))
        if not self.bridge.fields.has_score and any(levels):
            text = "The score does not follow from what was learnt: only the ODE (eps = 0) can be run."
            self.found.warnings.append(text)
            levels = [0.0]
        for eps in levels:
            with self.noted(f"eps = {eps:g}"):
                done = self.move(self.start, eps, self.cond)
                self.samples[eps], self.nfe[eps] = done.x, done
        arrays, shown = self.found.arrays, self.config.shown
        arrays["real"], arrays["start"] = self.real.x[:shown], self.start[:shown]
        if self.real.labels is not None:
            arrays["real_labels"] = self.real.labels[:shown]
        if self.cond is not None and not self.cond.is_floating_point():
            arrays["samples_labels"] = self.cond[:shown]
        for eps, x in self.samples.items():
            arrays[f"samples/eps={eps:g}"] = x[:shown]

    @property
    def flow(self) -> float | None:
        """The noise level that stands for all where one is needed: the ODE if it ran."""
        return next(iter(sorted(self.samples)), None)

    @property
    def noisy(self) -> float | None:
        """The smallest noise level of an SDE."""
        return next((eps for eps in sorted(self.samples) if eps > 0), None)

    def how(self, eps: float) -> str:
        """Description of how the samples at a noise level were made."""
        how = "ODE" if eps == 0 else f"SDE, eps = {eps:g}{', chosen' if eps in self.chosen else ''}"
        guided = self.cond is not None and self.config.guidance != 1
        return f"{how}, guidance {self.config.guidance:g}" if guided else how

    # --- distances ---------------------------------------------------------------------------------------

    def compare(self) -> None:
        """Distances of samples to held-out data, beside those of two real sets and of doing nothing."""
        floors = {name: self._floor(name) for name in _DISTANCES}
        baseline, baseline_name = self._baseline()
        trivial = {name: self._distance(name, baseline, self.real.x).value for name in _DISTANCES}
        for eps, x in self.samples.items():
            values = {name: self._distance(name, x, self.real.x) for name in _DISTANCES}
            self.found.table.append(self._row(eps, values))
            if eps in (self.flow, self.noisy):
                how = self.how(eps)
                for name, value in values.items():
                    self._add(
                        f"{name}_{'ode' if eps == 0 else 'sde'}",
                        f"{_DISTANCES[name][0]} to held-out data, {how}",
                        value,
                        floor=floors[name],
                        baseline=trivial[name],
                        baseline_name=baseline_name,
                        note="The floor is the same distance between two sets of real data of these sizes.",
                    )
        self._agreement(floors["sliced_w2"])
        self._neighbours()
        if self.data.x0 is not None:
            self._reverse()

    def _distance(self, name: str, x: Tensor, y: Tensor) -> Estimate:
        source = generator(self.config.seed, "evaluation metric")
        return _DISTANCES[name][1](x[:_MOST_PAIRWISE], y[:_MOST_PAIRWISE], source)

    def _floor(self, name: str) -> tuple[float, float]:
        """Mean and spread of the distance between random real sets of the sizes that are compared."""
        pool = torch.cat([self.data.x1.train.x, self.data.x1.test.x])
        n, m = min(len(self.start), _MOST_PAIRWISE), min(len(self.real), _MOST_PAIRWISE)
        if n + m > len(pool):
            n, m = (max(2, int(k * len(pool) / (n + m))) for k in (n, m))
        values = []
        for number in range(_SPLITS):
            rows = torch.randperm(
                len(pool), generator=generator(self.config.seed, "evaluation floor", number)
            )
            values.append(self._distance(name, pool[rows[:n]], pool[rows[n : n + m]]).value)
        found = torch.tensor(values, dtype=torch.float64)
        return float(found.mean()), float(found.std())

    def _baseline(self) -> tuple[Tensor, str]:
        """Trivial baseline: x0 unchanged, or a Gaussian with the moments of the training data."""
        if self.data.x0 is not None:
            return self.start, "x0 as it is"
        distribution, shape = self._gaussian(), self.real.x.shape
        noise = torch.randn(
            len(self.start), shape[1:].numel(), generator=generator(self.config.seed, "evaluation baseline")
        )
        return distribution.color(noise.double()).reshape(-1, *shape[1:]).float(), "a Gaussian fit"

    def _gaussian(self) -> Gaussian:
        """Moments of the flattened training data; a small ridge keeps constant pixels from being a singularity."""
        x = self.data.x1.train.x.flatten(1).double()
        covariance = torch.cov(x.T).reshape(x.shape[1], x.shape[1])
        ridge = 1e-3 * float(covariance.diagonal().mean()) + 1e-12
        return Gaussian(mean=x.mean(0), covariance=covariance + ridge * torch.eye(x.shape[1], dtype=x.dtype))

    def _row(self, eps: float, values: dict[str, Estimate]) -> dict[str, Any]:
        done = self.nfe[eps]
        nfe = done.nfe if isinstance(done.nfe, int) else float(done.nfe.double().mean())
        row = {
            "eps": eps,
            "chosen": eps in self.chosen,
            "method": done.method,
            "nfe": nfe,
            "sliced_w2": values["sliced_w2"].value,
            "sliced_w2_error": values["sliced_w2"].error,
            "energy": values["energy"].value,
            "energy_error": values["energy"].error,
        }
        if eps in self.accuracies:
            row["accuracy"], row["accuracy_error"] = self.accuracies[eps].value, self.accuracies[eps].error
        return row

    def _agreement(self, floor: tuple[float, float]) -> None:
        if self.flow == 0 and self.noisy is not None:
            found = self._distance("sliced_w2", self.samples[0.0], self.samples[self.noisy])
            title = f"Sliced W2 between ODE and SDE samples, eps = {self.noisy:g}"
            self._add("ode_vs_sde", title, found, floor=floor, note="Both should have the same distribution.")

    def _neighbours(self) -> None:
        """Are samples copies of training data? Only distances to the training set can tell."""
        if self.flow is None:
            return
        made, known = self.samples[self.flow][:_MOST_PAIRWISE], self.data.x1.train.x[:20_000]
        found = memorisation(made, known, self.real.x[:_MOST_PAIRWISE])
        self._add(
            "memorisation",
            "Chance to be closer to training data than held-out data are",
            found.closer,
            better="neither",
            unit="",
            note="0.5 is as it should be; 1 is copying.",
        )
        self.found.arrays["nearest_generated"] = made[:_NEIGHBOURS]
        self.found.arrays["nearest_training"] = known[found.neighbour[:_NEIGHBOURS]]

    def _reverse(self) -> None:
        assert self.data.x0 is not None
        back = self.move(self.real.x, 0.0, self._own_conditions(), reverse=True).x
        self.found.arrays["reverse"] = back[: self.config.shown]
        found = self._distance("sliced_w2", back, self.start)
        title = "Sliced W2 to held-out x0, reverse ODE"
        trivial = self._distance("sliced_w2", self.real.x, self.start).value
        self._add("sliced_w2_reverse", title, found, baseline=trivial, baseline_name="x1 as it is")

    def _own_conditions(self) -> Tensor | None:
        """Conditions of the held-out x1 themselves."""
        return None if self.data.cond_test is None else self.data.cond_test[: len(self.real)]

    # --- labels ------------------------------------------------------------------------------------------

    def classify(self) -> None:
        """Metrics of an independent classifier on the samples, if the data have labels."""
        side = self.data.x1
        labels = side.all_train
        asked = self.cond if self.cond is not None and not self.cond.is_floating_point() else None
        if (
            asked is not None
            and labels is not None
            and labels.labels is None
            and self.data.cond_train is not None
        ):
            labels = type(labels)(labels.x, self.data.cond_train)
        target = side.chosen if self.data.x0 is not None and side.chosen else ()
        if (
            not self.config.classifier
            or not self.samples
            or not _can_judge(labels)
            or (asked is None and not target)
        ):
            return
        assert labels is not None
        try:
            assert labels.labels is not None
            self.judge = LabelClassifier(labels.x, labels.labels)
        except MissingExtraError as error:
            self.found.warnings.append(str(error))
            return
        for eps, x in self.samples.items():
            judge = self.judge
            self.accuracies[eps] = judge.hits(x, target) if asked is None else judge.accuracy(x, asked)
        self._add_accuracy(asked, target)

    def _add_accuracy(self, asked: Tensor | None, target: tuple[int, ...]) -> None:
        assert self.judge is not None
        side = self.data.x1
        if asked is not None:
            truth = self.real.labels if self.real.labels is not None else self._own_conditions()
            assert truth is not None
            ceiling = self.judge.accuracy(self.real.x, truth)
            chance = float(torch.bincount(asked).max()) / len(asked)
            title, baseline_name = "Label predicted = label asked for", "always the commonest label"
        else:
            ceiling = self.judge.hits(side.test.x, target)
            chance = self.judge.hits(self.start, target).value
            title, baseline_name = f"Predicted to be {_class_names(side.classes, target)}", "x0 as it is"
        for eps in dict.fromkeys(e for e in (self.flow, self.noisy) if e is not None):
            self._add(
                f"accuracy_{'ode' if eps == 0 else 'sde'}",
                f"{title}, {'ODE' if eps == 0 else f'SDE, eps = {eps:g}'}",
                self.accuracies[eps],
                floor=(ceiling.value, ceiling.error),
                baseline=chance,
                baseline_name=baseline_name,
                better="higher",
                unit="",
                note="By a classifier trained on real data only; the floor is its accuracy on real held-out data.",
            )

    # --- pictures ----------------------------------------------------------------------------------------

    def draw(self) -> None:
        """One start point many times, a few trajectories, and pairs of start and end."""
        arrays, config = self.found.arrays, self.config
        one = self.start[:1].expand(config.repeats, *self.start.shape[1:]).contiguous()
        cond_one = None if self.cond is None else self.cond[:1].expand(config.repeats, *self.cond.shape[1:])
        few = min(config.trajectories, len(self.start))
        for eps in self.samples:
            arrays[f"one_start/eps={eps:g}"] = self.move(one, eps, cond_one, "repeats of a start").x
            done = self.move(
                self.start[:few], eps, None if self.cond is None else self.cond[:few], return_path=True
            )
            assert done.path is not None
            kept = torch.linspace(0, len(done.path) - 1, min(len(done.path), _MOST_TIMES)).round().long()
            arrays[f"trajectory/eps={eps:g}"] = done.path[kept]
            arrays["trajectory_times"] = done.times[kept]
        if self.flow is not None:
            arrays["transport_pairs_x0"] = self.start[:_PAIRS]
            arrays["transport_pairs_x1"] = self.samples[self.flow][:_PAIRS]

    # --- likelihood --------------------------------------------------------------------------------------

    def score(self) -> None:
        """Log-likelihood of held-out data under the flow, beside that of a Gaussian and of the exact distribution."""
        n = min(self.config.log_prob, len(self.real))
        if n < 2:
            return
        points, dims = self.real.x[:n], self.real.x[0].numel()
        heldout = self._log_prob(points, self.data.cond_test, n)
        train = self._log_prob(self.data.x1.train.x[:n], self.data.cond_train, n)
        self.found.arrays |= {"log_prob_heldout": heldout, "log_prob_train": train}
        gaussian = self._gaussian().log_prob(points.flatten(1).double())
        distribution = self.data.x1.distribution
        exact = None if distribution is None else _mean(torch.as_tensor(distribution.log_prob(points)))
        own, other = _mean(heldout), _mean(train)
        notes = f"On {n} held-out points. On {n} training points: {other.value:.4g} ± {other.error:.2g}."
        if exact is not None:
            notes += " The floor is the exact density's."
        for name, title, unit, scale in (
            ("log_likelihood", "Held-out log-likelihood", "nats", 1.0),
            ("log_likelihood_per_dim", "Held-out log-likelihood per dimension", "nats/dim", 1.0 / dims),
        ):
            value = Estimate(own.value * scale, own.error * scale, n, name)
            floor = None if exact is None else (exact.value * scale, exact.error * scale)
            trivial = float(gaussian.mean()) * scale
            self._add(
                name,
                title,
                value,
                floor=floor,
                baseline=trivial,
                baseline_name="a Gaussian fit",
                better="higher",
                unit=unit,
                note=notes,
            )

        self._consistency(heldout)

    def _consistency(self, log_q: Tensor) -> None:
        """Whether a density that was learnt is that of its own flow, whose log density at held-out points is given."""
        rows = self.real.x[: len(log_q)]
        cond = None if self.data.cond_test is None else self.data.cond_test[: len(log_q)]
        density = self.bridge.fields.log_density_of(cond)
        if density is None:
            return
        with torch.no_grad():
            apart = density(self.bridge.frame.encode(rows).float(), torch.ones(len(rows))) - log_q
        spread = float(apart.double().std())
        self._add(
            "log_density_mismatch",
            "Own log density less that of the flow, standard deviation",
            Estimate(spread, spread / math.sqrt(2 * len(rows)), len(rows), "mismatch"),
            unit="nats",
            note="Zero where the learnt density obeys the continuity equation of its flow; its SDEs then agree.",
        )

    def _log_prob(self, x: Tensor, cond: Tensor | None, n: int) -> Tensor:
        config = self.config
        options: dict[str, Any] = {"divergence": config.divergence, "n_steps": config.log_prob_steps}
        if config.divergence == "hutchinson":
            options["probes"] = config.probes
        if config.log_prob_method is not None:
            options["method"] = config.log_prob_method
        if config.leg_steps is not None and self.bridge.state["leg"] is None:
            options["leg"] = {"steps": config.leg_steps}
        options["progress"] = self.progress
        values: Tensor = self.bridge.log_prob(x, cond=None if cond is None else cond[:n], **options)
        return values

    # --- self-test ---------------------------------------------------------------------------------------

    def check(self) -> None:
        """The bridge's own verdicts."""
        if not self.config.check:
            return
        for item in self.bridge.check().checks:
            self.found.checks.append(
                {
                    "name": item.name,
                    "verdict": item.verdict,
                    "value": item.value,
                    "limit": item.limit,
                    "message": item.message,
                }
            )

    def _add(
        self,
        name: str,
        title: str,
        found: Estimate,
        *,
        floor: tuple[float, float] | None = None,
        baseline: float | None = None,
        baseline_name: str = "",
        better: str = "lower",
        unit: str = "data units",
        note: str = "",
    ) -> None:
        """One row of the headline numbers."""
        self.found.metrics.append(
            {
                "id": name,
                "title": title,
                "value": found.value,
                "error": found.error,
                "n": found.n,
                "floor": None if floor is None else floor[0],
                "floor_error": None if floor is None else floor[1],
                "baseline": baseline,
                "baseline_name": baseline_name,
                "better": better,
                "unit": unit,
                "note": note,
            }
        )


def _sliced(x: Tensor, y: Tensor, source: torch.Generator) -> Estimate:
    return sliced_wasserstein(x, y, generator=source)


def _energy(x: Tensor, y: Tensor, source: torch.Generator) -> Estimate:
    return energy_distance(x, y, generator=source)


_DISTANCES: dict[str, tuple[str, Callable[[Tensor, Tensor, torch.Generator], Estimate]]] = {
    "sliced_w2": ("Sliced W2", _sliced),
    "energy": ("Energy distance", _energy),
}


def _can_judge(rows: Rows | None) -> bool:
    """Whether there are labels of at least two classes to learn from."""
    return rows is not None and rows.labels is not None and len(set(rows.labels.tolist())) > 1


def _mean(values: Tensor) -> Estimate:
    """Mean over rows and its standard error."""
    flat = values.double().flatten()
    return Estimate(float(flat.mean()), float(flat.std()) / math.sqrt(len(flat)), len(flat), "mean")


def _class_names(classes: tuple[str, ...], chosen: tuple[int, ...]) -> str:
    return " or ".join(classes[c] if c < len(classes) else str(c) for c in chosen)
