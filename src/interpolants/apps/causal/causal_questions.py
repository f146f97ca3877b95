"""Do counterfactuals set what is asked, follow the graph, and keep the rest; and are codes about one factor each.

Letters: m cases, n factors, v the values set.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.apps.causal.metrics.disentanglement import dci
from interpolants.apps.causal.metrics.factor_regression import FactorRegression
from interpolants.apps.causal.problems.counterfactual_images import CounterfactualImages
from interpolants.data.arrays import is_table
from interpolants.foundations import asked
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.kinds import NonNegative, Whole
from interpolants.foundations.randomness import generator
from interpolants.framework.figures import Figure, strips
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.role import Role
from interpolants.framework.task import Task
from interpolants.methods.questions.calls import options_for
from interpolants.methods.questions.distances import as_tensor
from interpolants.metrics.estimate import Estimate
from interpolants.metrics.label_classifier import LabelClassifier

# Values are drawn between these quantiles of the training factors, where no problem says what can be reached.
_INNER = (0.05, 0.95)
_SHOWN = 10
# Error of what is read in a reconstruction, in deviations, below which a share of it says nothing.
_EXACT = 0.01
_SCENE = Role(name="scene", optional=True, about="What images are made of, where a problem knows it.")


@dataclass(frozen=True)
class Cases:
    """What is asked, and what is known of the answer.

    Attributes:
        x: Images ``(m, *D)``.
        names: The factors.
        now: Factors as they are, ``(m, n)``.
        value: v ``(m,)``.
        then: Factors after the intervention, ``(m, n)``; NaN where they are not known.
        truth: The true counterfactual images, where they are known.
        effects: Places of the factors that follow.
        spread: Deviation of each factor in the training part, ``(n,)``.
        seen: Smallest and largest training value of the factor that is set.
    """

    x: Tensor
    names: tuple[str, ...]
    now: Tensor
    value: Tensor
    then: Tensor
    truth: Tensor | None
    effects: tuple[int, ...]
    spread: Tensor
    seen: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class CounterfactualEffects(Question):
    """Set one factor of test images to drawn values, and read the answers.

    Factors are read by what the problem measures, else by a regression on real training images. Where the data come
    from a problem that knows its counterfactuals, they are the truth, in pixels and factors.
    """

    needs: ClassVar[str] = "counterfactual"
    front: ClassVar[tuple[str, ...]] = ("counterfactuals",)
    numbers: ClassVar[Mapping[str, About]] = {
        "effect": About(
            "R² of the factor that was set", "higher", floor_of="true counterfactuals",
            note="Read in the answers, against what was asked.",
        ),
        "effects": About(
            "R² of what should follow", "higher", floor_of="true counterfactuals",
            note="Read in the answers, against the true effects; mean over factors.",
        ),
        # Images as they are win these by setting nothing, so that none of them is said to be better.
        "drift": About(
            "Change of what should stay", "neither", unit="deviations", floor_of="true counterfactuals",
            note="Mean absolute error of factors that are no effects, as read.",
        ),
        "drift_ratio": About(
            "Error of what should stay, over that of a reconstruction", "neither",
            note="Root mean squares; 1 is none added.",
        ),
        "rmse": About(
            "Error in pixels", unit="data units", note="Against the true counterfactual, root mean square by image.",
        ),
        "composition": About(
            "Error when nothing is set", "neither", unit="data units",
            note="To noise and back, root mean square by image; 0 is right.",
        ),
        "reversibility": About(
            "Error after setting it and setting it back", "neither", unit="data units",
            note="Root mean square by image; 0 is right.",
        ),
        "identity": About(
            "Share that keeps its label", "higher", floor_of="true counterfactuals",
            note="By a classifier trained on real data only.",
        ),
    }  # fmt: skip

    do: str = ""
    """The factor that is set."""
    effects: Sequence[str] = ()
    """Factors that should follow; those of the problem's graph, where one is known, if empty."""
    names: Sequence[str] = ()
    """The factors in order, where these are an array without names and no problem knows them."""
    image: str = "x"
    """Role of the images."""
    factors: str = "factors"
    """Role of the factors."""
    label: str = ""
    """Role with labels that must stay; none if empty."""
    n: Annotated[int, Ge(8)] = 200
    """Most cases."""
    seed: Whole = 1
    """Seed of the values."""
    options: Mapping[str, Any] | None = None
    """Options of the verb, such as ``n_steps``."""

    def check_settings(self) -> None:
        """Refuse a question without a factor."""
        if not self.do:
            raise asked.invalid("do must name the factor that is set", repr(self.do))

    def reads(self) -> Sequence[Role]:
        """Scenes of a problem, and labels."""
        return (_SCENE, Role(name=self.label)) if self.label else (_SCENE,)

    def measure(self, method: Method, task: Task) -> Measured:
        """Numbers by case."""
        cases, read = self._cases(task), self._reader(task)
        ask = _Asked(method, options_for(method, "counterfactual", self.options), self.do)
        found, null = ask.of(cases.x, cases.value), ask.of(cases.x)
        own = cases.now[:, cases.names.index(self.do)]
        values: dict[str, Number] = self._read(cases, read(found), read(null))
        values["composition"] = _rms(null, cases.x)
        values["reversibility"] = _rms(ask.of(found, own.clamp(*cases.seen)), cases.x)
        if cases.truth is not None:
            values["rmse"] = _rms(found, cases.truth)
        if self.label:
            values["identity"] = self._same(task, found)
        return Measured(values, {"found": found[:_SHOWN]})

    def floors(self, task: Task) -> Mapping[str, Estimate | float | str]:
        """What is read in true counterfactuals."""
        cases = self._cases(task)
        if cases.truth is None:
            return {}
        read = self._reader(task)
        read_truth = self._read(cases, read(cases.truth), read(cases.x))
        names = [name for name in ("effect", "effects", "drift") if name in read_truth]
        found: dict[str, Estimate | float | str] = {
            n: float(torch.as_tensor(read_truth[n]).mean()) for n in names
        }
        return {**found, "identity": float(self._same(task, cases.truth).mean())} if self.label else found

    def _read(self, cases: Cases, found: Tensor, null: Tensor) -> dict[str, Number]:
        """Numbers of factors ``(m, n)`` that were read in answers and in reconstructions."""
        place = cases.names.index(self.do)
        values: dict[str, Number] = {"effect": _explained(found[:, place], cases.value)}
        if cases.effects and not bool(cases.then[:, cases.effects].isnan().any()):
            each = [_explained(found[:, k], cases.then[:, k]) for k in cases.effects]
            values["effects"] = torch.stack(each).mean(0)
        if stays := [k for k in range(len(cases.names)) if k != place and k not in cases.effects]:
            gap, before = ((x - cases.now)[:, stays] / cases.spread[stays] for x in (found, null))
            values["drift"] = gap.abs().mean(1)
            added, least = (float(part.square().mean().sqrt()) for part in (gap, before))
            if least > _EXACT:  # a problem that measures factors reads reconstructions without error
                values["drift_ratio"] = added / least
        return values

    def _cases(self, task: Task) -> Cases:
        """The requests: test rows whose factors are known."""
        problem, names = _problem(task, self.image), self._names(task)
        if self.do not in names:
            raise invalid(
                "counterfactual_effects", "do must be a factor", repr(self.do), nearest(self.do, names)
            )
        x, place = as_tensor(task.test[self.image]).double(), names.index(self.do)
        trained, now = (_factors(part, self.factors, problem) for part in (task.train, task.test))
        rows = (~now.isnan().any(1)).nonzero()[:, 0][: self.n]
        draw = torch.rand(len(rows), generator=generator(self.seed, "values set"), dtype=torch.float64)
        known = trained[~trained[:, place].isnan(), place]
        seen = (float(known.min()), float(known.max()))
        parts: dict[str, Any] = {"x": x[rows], "names": names, "now": now[rows], "seen": seen}
        parts["spread"] = _nan_deviation(trained)
        if problem is None:
            low, high = known.quantile(torch.tensor(_INNER, dtype=known.dtype))
            then = torch.full_like(now[rows], float("nan"))
            effects = tuple(names.index(name) for name in self.effects)
            return Cases(**parts, value=low + (high - low) * draw, then=then, truth=None, effects=effects)
        scene = as_tensor(task.test["scene"])[rows]
        low, high = (end.double().clamp(*seen) for end in problem.attainable(scene, self.do))
        value = low + (high - low) * draw
        acted = problem.act(scene, self.do, value)
        effects = tuple(names.index(name) for name in problem.graph.descendants(self.do))
        then, truth = problem.factors(acted).double(), problem.images(acted).double()
        return Cases(**parts, value=value, then=then, truth=truth, effects=effects)

    def _names(self, task: Task) -> tuple[str, ...]:
        problem = _problem(task, self.image)
        if problem is not None:
            return problem.graph.names
        given = task.train[self.factors]
        if not self.names and is_table(given):
            return tuple(map(str, given.columns))
        width = as_tensor(given).shape[1]
        if len(self.names) not in (0, width):
            raise invalid(
                "counterfactual_effects", f"names must be those of {width} factors", list(self.names)
            )
        return tuple(self.names) or tuple(f"factor {k}" for k in range(width))

    def _reader(self, task: Task) -> Any:
        """Images -> factors ``(m, n)``."""
        problem, x = _problem(task, self.image), as_tensor(task.train[self.image])
        if problem is not None and problem.read(x[:1]) is not None:
            return problem.read
        return FactorRegression(x, _factors(task.train, self.factors, problem)).read

    def _same(self, task: Task, found: Tensor) -> Tensor:
        """Whether each answer has the label of its image."""
        train, test = (as_tensor(part[self.label])[:, 0].long() for part in (task.train, task.test))
        judge = LabelClassifier(as_tensor(task.train[self.image]), train)
        return (judge.predict(found) == test[: len(found)]).double()

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Some images as they are, their true counterfactuals, and the answers."""
        cases = self._cases(task)
        if cases.x.ndim != 4:
            return ()
        rows = {"as it is": cases.x, **({} if cases.truth is None else {"the truth": cases.truth})}
        rows |= {"counterfactual": own.arrays["found"]}
        rows |= {name.replace("_", " "): one.arrays["found"] for name, one in rivals.items()}
        shown = {name: x[:_SHOWN].double().mean(1) for name, x in rows.items()}
        low, high = float(cases.x.min()), float(cases.x.max())
        title = f"{self.do} set to other values"
        panel = strips(list(shown.values()), low=low, high=high, names=list(shown), title=title)
        told = f"Test images had their {self.do} been another, one value a column."
        return [
            Figure(
                name="counterfactuals", panels=(panel,), caption=told, width=620, height=58 * len(shown) + 30
            )
        ]


@dataclass(frozen=True)
class _Asked:
    """A method that is asked to set one factor."""

    method: Any
    options: Mapping[str, Any]
    do: str

    def of(self, x: Tensor, value: Tensor | None = None) -> Tensor:
        """Answers ``(m, *D)`` in double precision."""
        asked = {} if value is None else {"do": {self.do: value}}
        return as_tensor(self.method.counterfactual(x.float(), **asked, **self.options)).double()


def _problem(task: Task, image: str) -> CounterfactualImages | None:
    found = task.truths.get(image)
    known = isinstance(found, CounterfactualImages) and "scene" in task.values
    return found if known and isinstance(found, CounterfactualImages) else None


def _factors(part: Mapping[str, Any], role: str, problem: CounterfactualImages | None) -> Tensor:
    """Factors of a part, ``(N, n)`` float64: all of them where a problem knows them."""
    if problem is not None:
        return problem.factors(as_tensor(part["scene"])).double()
    return as_tensor(part[role]).double()


def _nan_deviation(x: Tensor) -> Tensor:
    known = ~x.isnan()
    mean = x.nan_to_num().sum(0) / known.sum(0)
    return (torch.where(known, x - mean, 0.0).square().sum(0) / known.sum(0)).sqrt()


def _explained(found: Tensor, wanted: Tensor) -> Tensor:
    """``1 - error^2 / variance`` of each case: their mean is R²."""
    variance = wanted.var(correction=0).clamp_min(1e-12)
    return 1 - (found - wanted).square() / variance


def _rms(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).flatten(1).square().mean(1).sqrt()


@dataclass(frozen=True, kw_only=True)
class CodeDisentanglement(Question):
    """Are the codes of test images about one factor each?"""

    needs: ClassVar[str] = "encode"
    numbers: ClassVar[Mapping[str, About]] = {
        "disentanglement": About("Disentanglement", "higher", note="Each code is about one factor: 1."),
        "completeness": About("Completeness", "higher", note="Each factor is in one code: 1."),
        "informativeness": About(
            "Informativeness",
            "higher",
            note="Share of the variance of factors that a linear function of codes tells.",
        ),
    }

    image: str = "x"
    """Role of the images."""
    factors: str = "factors"
    """Role of the factors; all of them are known where a problem knows its scenes."""
    penalty: NonNegative = 0.01
    """Of the lasso behind the numbers."""

    def reads(self) -> Sequence[Role]:
        """Scenes of a problem."""
        return (_SCENE,)

    def measure(self, method: Method, task: Task) -> Measured:
        """Three numbers of all test rows."""
        answer: Any = method
        codes = as_tensor(answer.encode(as_tensor(task.test[self.image]).float())).double()
        factors = _factors(task.test, self.factors, _problem(task, self.image))
        known = ~factors.isnan().any(1)
        found = dci(codes[known], factors[known], penalty=self.penalty)
        return Measured(
            {
                "disentanglement": found.disentanglement,
                "completeness": found.completeness,
                "informativeness": found.informativeness,
            }
        )
