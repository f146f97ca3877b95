"""Answers that are more than an array: a predictive distribution per row, and an ensemble of possible outcomes."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from interpolants.data.arrays import Kind as Given
from interpolants.data.arrays import restore
from interpolants.foundations.checks import positive, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.foundations.randomness import BLOCK, by_block, generator
from interpolants.foundations.records import record
from interpolants.foundations.tell import FitWarning, tell
from interpolants.framework.series import STEPS, dates

_PLAIN = Given("torch", "float64")
_BISECTIONS = 80
# A row whose variance given the rows before it is below this share of its own, times the rows, is one by rounding.
_CERTAIN = 1e-12


def _home(x: Tensor, given: Given) -> Tensor:
    """Tensor on the device of the request."""
    return x.to(given.device if given.device is not None else "cpu")


@runtime_checkable
class WritesFiles(Protocol):
    """An answer with additional file formats, next to those of all arrays.

    Attributes:
        writes: File extensions of these formats, in lower case with the dot.
    """

    @property
    def writes(self) -> Sequence[str]: ...  # noqa: D102

    def write_file(self, out: Path) -> None:
        """Write the answer in the format of the file extension."""
        ...


@dataclass(frozen=True, eq=False)
class Scored:
    """Samples with their log densities; ``x, log_prob = scored`` takes it apart.

    Attributes:
        x: Samples ``(n, *D)``, in the type of the request.
        log_prob: Log density of the model at each, ``(n,)`` in nats (data units), in the type of the request.
    """

    x: Any
    log_prob: Any

    def __iter__(self) -> Iterator[Any]:
        return iter((self.x, self.log_prob))

    def in_kind(self, given: Given) -> "Scored":
        """Both in a container."""
        return Scored(restore(self.x, given), restore(self.log_prob, replace(given, index=None)))

    def columns(self) -> dict[str, Any]:
        """Both by name, for files."""
        return {"x": self.x, "log_prob": self.log_prob}


@record("joint_rows")
@dataclass(frozen=True, kw_only=True, eq=False)
class JointRows:
    """Dependence between the N rows of a :class:`Predictive`.

    Rows of a group share the component of the mixture and, for each column, the random scale of Student's t. Rows of
    different groups are independent.

    Attributes:
        correlation: Correlation of the rows given the component, ``(C, N, N)``, or ``(1, N, N)`` for all columns. None
            for rows that are independent given the component.
        group: Group of each row, ``(N,)`` integers; None for one group.
    """

    correlation: Tensor | None = None
    group: Tensor | None = None

    @classmethod
    def of(cls, covariance: Tensor, variance: Tensor, group: Tensor | None = None) -> "JointRows":
        """Dependence of rows with a covariance.

        Args:
            covariance: Covariance of the rows, ``(C, N, N)`` or ``(1, N, N)``; only the off-diagonal entries are read.
            variance: Variance of each row, ``(C, N)`` or ``(1, N)``, positive: the diagonal.
            group: Group of each row, ``(N,)``; None for one group.
        """
        root = variance.sqrt()
        found = (covariance / (root[:, :, None] * root[:, None, :])).clamp(-1, 1)
        found = 0.5 * (found + found.mT)
        found = found if group is None else torch.where(group[:, None] == group, found, 0.0)
        found.diagonal(dim1=1, dim2=2).fill_(1.0)
        return cls(correlation=found, group=group)

    def rows(self, rows: slice) -> "JointRows":
        """Dependence of some of the rows."""
        correlation = None if self.correlation is None else self.correlation[:, rows, rows]
        return JointRows(correlation=correlation, group=None if self.group is None else self.group[rows])

    def places(self, rows: int) -> Tensor:
        """Number of each row's group, ``(N,)``, zero-based."""
        if self.group is None:
            return torch.zeros(rows, dtype=torch.long)
        places: Tensor = torch.unique(self.group.cpu(), return_inverse=True)[1]
        return places

    def factor(self, rows: int) -> Tensor:
        """Square root F of the correlation, ``F F^T``, ``(C, N, N)`` or ``(1, N, N)``; singular ones have one too."""
        if self.correlation is None:
            return torch.eye(rows, dtype=torch.float64)[None]
        correlation = self.correlation.double()
        factor: Tensor
        factor, failed = torch.linalg.cholesky_ex(correlation)
        if bool(failed.any()):
            values, vectors = torch.linalg.eigh(correlation)
            factor = vectors * values.clamp_min(0).sqrt()[:, None, :]
        return factor

    def moved(self, given: Given) -> "JointRows":
        """The same on the device of a request."""
        correlation = None if self.correlation is None else _home(self.correlation, given)
        return JointRows(
            correlation=correlation, group=None if self.group is None else _home(self.group, given)
        )


@record("predictive", skip=("given",))
@dataclass(frozen=True, kw_only=True, eq=False)
class Predictive:
    """One distribution per row: a mixture of K Gaussians or Student's t distributions, independent over columns.

    With ``joint`` it is one distribution of all rows (``predict(x, joint=True)``): :meth:`sample` then draws the rows
    together, :meth:`log_prob` is one joint log density, and :attr:`covariance` exists. Means, standard deviations and
    quantiles are those of single rows either way.

    Attributes:
        loc: Centres, ``(K, N, C)``.
        scale: Scales, ``(K, N, C)``, positive.
        df: Degrees of freedom, a number > 0, or one per row, ``(N,)``; infinite for Gaussians.
        log_weight: Log weights of the K components, ``(K, N)``; equal where None.
        joint: Dependence between rows; None for rows each by itself.
        given: Container of the answers.
    """

    loc: Tensor
    scale: Tensor
    df: float | Tensor = math.inf
    log_weight: Tensor | None = None
    joint: JointRows | None = None
    given: Given = _PLAIN

    def __post_init__(self) -> None:
        if self.loc.ndim != 3 or self.loc.shape != self.scale.shape:
            shapes = f"{tuple(self.loc.shape)} and {tuple(self.scale.shape)}"
            raise invalid("Predictive", "loc and scale must have the same shape (K, N, C)", shapes)
        if isinstance(self.df, Tensor) and self.df.shape != self.loc.shape[1:2]:
            rule = f"df must be a number, or one per row, {self.loc.shape[1]}"
            raise invalid("Predictive", rule, tuple(self.df.shape))

    @property
    def is_gaussian(self) -> bool:
        """Whether no component has heavy tails."""
        return not isinstance(self.df, Tensor) and math.isinf(self.df)

    @property
    def mean(self) -> Any:
        """Means, ``(N, C)``, in the type of the request."""
        return self._out(self._average(self.loc))

    @property
    def std(self) -> Any:
        """Standard deviations, ``(N, C)``, in the type of the request; infinite for df <= 2.

        Warns:
            FitWarning: If one is infinite.
        """
        spread, mean = self._spread("Predictive.std"), self._average(self.loc)
        return self._out((self._average(self.scale.square() * spread + (self.loc - mean).square())).sqrt())

    def _spread(self, who: str) -> Tensor | float:
        """Variance of Student's t in squared scales, ``(N, 1)`` or ``()``; 1 for a Gaussian."""
        if self.is_gaussian:
            return 1.0
        df = self._df
        heavy = (df <= 2).expand(self.loc.shape[1], 1)
        if bool(heavy.any()):
            message = (
                f"{who}: {int(heavy.sum())} of {len(heavy)} rows have {float(df.min()):.3g} <= 2 degrees of "
            )
            message += "freedom, whose standard deviation is infinite. Use quantile(p) instead."
            tell(FitWarning, message)
        return torch.where(df > 2, df / (df - 2), math.inf)

    @property
    def covariance(self) -> Tensor:
        """Covariance of the rows in each column, ``(C, N, N)``, in squared units of the column.

        Raises:
            InvalidInputError: If the answer is not a joint one.

        Warns:
            FitWarning: If it is infinite: df <= 2.
        """
        if self.joint is None:
            remedy = "Pass joint=True to predict."
            raise invalid("Predictive.covariance", "the answer must be joint", "one per row", remedy)
        rows, place = self.loc.shape[1], self.joint.places(self.loc.shape[1])
        together = (place[:, None] == place).to(self.loc)
        correlation = self.joint.correlation
        inner = torch.eye(rows).to(self.loc)[None] if correlation is None else correlation.to(self.loc)
        weight, apart = self._log_weights().exp(), self.loc - self._average(self.loc)
        within = torch.einsum("kn,knc,kmc->cnm", weight, self.scale, self.scale) * inner
        spread = self._spread("Predictive.covariance")
        wide = spread.expand(rows, 1) if isinstance(spread, Tensor) and spread.ndim else spread
        within = torch.where(
            inner == 0, 0.0, within * wide
        )  # no infinite variance makes 0 of a correlation NaN
        return within + torch.einsum("kn,knc,kmc->cnm", weight, apart, apart) * together

    def log_prob(self, y: Any) -> Tensor:
        """Log densities of rows ``y (N, C)``, ``(N,)`` in nats; NaN entries of ``y`` count as not seen.

        A joint answer has one log density of all rows together, ``()``.

        Raises:
            InvalidInputError: If ``y`` has another shape, is a table without the columns of the answer, or a joint
                answer has rows that determine each other.
        """
        points = self._points(y)
        if self.joint is not None:
            return self._joint_log_prob(points, self.joint)
        seen, far = ~points.isnan(), points.isinf()
        each = self._parts().log_prob(torch.where(seen & ~far, points, self.loc))
        each = torch.where(far, -math.inf, torch.where(seen, each, 0.0))
        return (each.sum(-1) + self._log_weights()).logsumexp(0)

    def _points(self, y: Any) -> Tensor:
        """Values to judge, ``(N, C)``; columns of a table are known by name where the answer has names."""
        who, (rows, width) = "Predictive.log_prob", self.loc.shape[1:]
        names = [str(name) for name in self.given.columns]
        if hasattr(y, "columns") and width > 1 and len(names) == width:
            here = {str(name): name for name in y.columns}
            if missing := [name for name in names if name not in here]:
                raise invalid(who, f"y must have the columns {', '.join(names)}", f"no {missing[0]!r}")
            y = y[[here[name] for name in names]]
        points = y if isinstance(y, Tensor) else torch.tensor(np.array(y, dtype=np.float64))
        allowed = {(rows, width), *([(rows,)] if width == 1 else []), *([(width,)] if rows == 1 else [])}
        if tuple(points.shape) not in allowed and not points.numel() == rows * width == 1:
            raise invalid(who, f"y must have shape {(rows, width)}", tuple(points.shape))
        return points.to(self.loc).reshape(rows, width)

    def cdf(self, y: Tensor) -> Tensor:
        """Distribution functions at ``y``, which broadcasts with ``(N, C)``; ``(N, C)``."""
        z = (torch.as_tensor(y).to(self.loc) - self.loc) / self.scale
        return self._average(_standard_cdf(z, self._df))

    def quantile(self, p: float) -> Any:
        """Quantiles of each column, ``(N, C)``, by bisection to the precision of the type.

        Args:
            p: Probability in (0, 1).
        """
        if not 0 < p < 1:
            raise invalid("Predictive.quantile", "p must lie in (0, 1)", p)
        reach, tail = _standard_reach(p, self._df), min(p, 1 - p)
        # A component that weighs next to nothing moves no quantile, and one far wider would leave too few bisections.
        counts = (self._log_weights() > math.log(tail / (8 * len(self.loc))))[..., None]
        low = torch.where(counts, self.loc - reach * self.scale, math.inf).amin(0)
        high = torch.where(counts, self.loc + reach * self.scale, -math.inf).amax(0)
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            below = self.cdf(middle) < p
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return self._out((low + high) / 2)

    def _joint_log_prob(self, points: Tensor, joint: JointRows) -> Tensor:
        """Log density of all rows together, ``()``: a sum over groups, each a mixture over components."""
        if bool(points.isinf().any()):
            return self.loc.new_full((), -math.inf)
        place, weights, total = joint.places(len(points)), self._log_weights(), self.loc.new_zeros(())
        for group in range(int(place.max()) + 1):
            own = torch.nonzero(place == group)[:, 0]
            each = [
                self._log_prob_of(points[:, c], own[~points[own, c].isnan()], c, joint)
                for c in range(self.loc.shape[2])
            ]
            total = total + (torch.stack(each).sum(0) + weights[:, own[0]]).logsumexp(0)
        return total

    def _log_prob_of(self, y: Tensor, own: Tensor, column: int, joint: JointRows) -> Tensor:
        """Log density of some rows of one column for each component, ``(K,)``."""
        n, scale = len(own), self.scale[:, own, column]
        z = ((y[own] - self.loc[:, own, column]) / scale).T
        log_volume = scale.log().sum(1)
        if joint.correlation is not None:
            some = joint.correlation[min(column, len(joint.correlation) - 1)][own][:, own].to(z)
            factor, failed = torch.linalg.cholesky_ex(some)
            certain = torch.nonzero(factor.diagonal().square() < _CERTAIN * n)[:, 0].tolist()
            certain = [int(failed) - 1] if failed else certain
            if certain:
                remedy = "Pass noise=True to predict, or drop rows that are equal."
                got = f"row {int(own[certain[0]])}, which follows from those before it"
                raise invalid("Predictive.log_prob", "no row of a joint answer may be certain", got, remedy)
            z = torch.linalg.solve_triangular(factor, z, upper=False)
            log_volume = log_volume + factor.diagonal().log().sum()
        square = z.square().sum(0)
        if self.is_gaussian:
            return -0.5 * square - log_volume - 0.5 * n * math.log(2 * math.pi)
        df = self._df.reshape(-1)[own[:1] if self._df.ndim else slice(1)].to(z) if n else z.new_ones(1)
        log_norm = torch.lgamma((df + n) / 2) - torch.lgamma(df / 2) - 0.5 * n * (df * math.pi).log()
        return log_norm - log_volume - 0.5 * (df + n) * torch.log1p(square / df)

    def sample(self, n: int, *, seed: int = 0) -> Tensor:
        """Draws ``(n, N, C)``; draw j of row i belongs to (seed, j, i).

        Rows are drawn independently of each other, however close they are: a sum over rows, or the shape of a curve,
        needs a joint answer, ``predict(x, joint=True)``, whose draws are functions at the N rows.

        Args:
            n: Number of draws, at least 1.
            seed: Seed of the draws.
        """
        if self.joint is not None:
            return self._joint_sample(whole("Predictive.sample", "n", n, at_least=1), seed, self.joint)
        draws = [self._draw(seed, j) for j in range(whole("Predictive.sample", "n", n, at_least=1))]
        return torch.stack(draws)

    def _draw(self, seed: int, j: int) -> Tensor:
        count, rows, width = self.loc.shape

        def noise(source: torch.Generator) -> Tensor:
            pick = torch.rand(BLOCK, 1, dtype=torch.float64, generator=source)
            z = torch.randn(BLOCK, width, dtype=torch.float64, generator=source)
            if not isinstance(self.df, Tensor) and math.isfinite(self.df):
                gamma = torch.full((BLOCK, width), self.df / 2, dtype=torch.float64)
                z = z / (torch._standard_gamma(gamma, generator=source) * 2 / self.df).sqrt()
            return torch.cat([pick, z], 1)

        drawn = by_block(noise, seed, ("predictive", j), first=0, count=rows)
        if isinstance(self.df, Tensor):  # the draws of a row must not hang on the tails of those before it
            drawn = torch.cat([drawn[:, :1], _heavy(drawn[:, 1:], self._df)], 1)
        drawn = drawn.to(self.loc)
        shares = self._log_weights().exp().cumsum(0)
        part = (drawn[:, 0] * shares[-1] >= shares).sum(0).clamp_max(count - 1)
        own = torch.arange(rows)
        return self.loc[part, own] + self.scale[part, own] * drawn[:, 1:]

    def _joint_sample(self, n: int, seed: int, joint: JointRows) -> Tensor:
        """Draws ``(n, N, C)``: the component and the scale of each group, then correlated rows."""
        count, rows, width = self.loc.shape
        place, factor = joint.places(rows), joint.factor(rows)
        groups = int(place.max()) + 1
        first = torch.stack([torch.nonzero(place == g)[0, 0] for g in range(groups)])
        shares = self._log_weights().exp().double().cumsum(0)[:, first]
        df = None if self.is_gaussian else self._df.expand(rows, 1)[first].double().expand(groups, width)

        def noise(source: torch.Generator) -> Tensor:
            return torch.randn(BLOCK, width, dtype=torch.float64, generator=source)

        draws = []
        for j in range(n):
            z = by_block(noise, seed, ("joint predictive", j), first=0, count=rows)
            source = generator(seed, "joint predictive groups", j)
            pick = torch.rand(groups, dtype=torch.float64, generator=source)
            part = (pick * shares[-1] >= shares).sum(0).clamp_max(count - 1)[place]
            z = (factor.cpu() @ z.T[..., None])[..., 0].T
            if df is not None:
                gamma = torch._standard_gamma(df.cpu() / 2, generator=source) * 2 / df.cpu()
                z = z / torch.where(df.cpu().isinf(), 1.0, gamma).sqrt()[place]
            own = torch.arange(rows)
            draws.append(self.loc[part, own] + self.scale[part, own] * z.to(self.loc))
        return torch.stack(draws)

    def _log_weights(self) -> Tensor:
        count, rows = self.loc.shape[:2]
        if self.log_weight is None:
            return self.loc.new_full((count, rows), -math.log(count))
        return self.log_weight - self.log_weight.logsumexp(0)

    def _average(self, x: Tensor) -> Tensor:
        average: Tensor = (self._log_weights().exp()[..., None] * x).sum(0)
        return average

    @property
    def _df(self) -> Tensor:
        """Degrees of freedom, ``(N, 1)`` or ``()``."""
        return self.df[:, None] if isinstance(self.df, Tensor) else self.loc.new_tensor(self.df)

    def _parts(self) -> Any:
        if self.is_gaussian:
            return torch.distributions.Normal(self.loc, self.scale)
        if not isinstance(self.df, Tensor):
            positive("Predictive", "df", self.df)
        return torch.distributions.StudentT(self._df.to(self.loc), self.loc, self.scale)

    def _out(self, x: Tensor) -> Any:
        return x if self.given is _PLAIN else restore(x, self.given)

    # --- what the framework asks of an answer

    def in_kind(self, given: Given) -> "Predictive":
        """The same with answers in a container, and on its device."""
        weight = None if self.log_weight is None else _home(self.log_weight, given)
        loc, scale = _home(self.loc, given), _home(self.scale, given)
        joint = None if self.joint is None else self.joint.moved(given)
        return replace(self, loc=loc, scale=scale, log_weight=weight, joint=joint, given=given)

    def rows(self, rows: slice) -> "Predictive":
        """Return the answer for the selected rows."""
        weight = None if self.log_weight is None else self.log_weight[:, rows]
        df = self.df[rows] if isinstance(self.df, Tensor) else self.df
        joint = None if self.joint is None else self.joint.rows(rows)
        loc, scale = self.loc[:, rows], self.scale[:, rows]
        return replace(self, loc=loc, scale=scale, df=df, log_weight=weight, joint=joint)

    @staticmethod
    def joined(parts: Sequence["Predictive"]) -> "Predictive":
        """Blocks of rows as one answer; joint answers are not made of blocks."""
        assert all(part.joint is None for part in parts)
        weights = [part.log_weight for part in parts if part.log_weight is not None]
        df = [part.df for part in parts if isinstance(part.df, Tensor)]
        return replace(
            parts[0],
            df=torch.cat(df) if df else parts[0].df,
            loc=torch.cat([part.loc for part in parts], 1),
            scale=torch.cat([part.scale for part in parts], 1),
            log_weight=torch.cat(weights, 1) if weights else None,
        )

    def columns(self, levels: Sequence[float] = (0.05, 0.95)) -> dict[str, Tensor]:
        """Mean, standard deviation and quantiles of each column ``(N,)``, named e.g. ``y_mean``, ``y_std``, ``y_0.05``.

        A joint answer also has its covariances: ``y_cov_3`` holds those of each row with row 3.

        Args:
            levels: Probabilities of the quantiles, in (0, 1).
        """
        width = self.loc.shape[-1]
        named = len(self.given.columns) == width
        names = list(self.given.columns) if named else [f"y{i}" for i in range(width)]
        plain = replace(self, given=_PLAIN)
        found = {"mean": plain.mean, "std": plain.std} | {f"{p:g}": plain.quantile(p) for p in levels}
        each = {f"{name}_{what}": x[:, i] for i, name in enumerate(names) for what, x in found.items()}
        if self.joint is not None:
            for name, covariance in zip(names, self.covariance, strict=True):
                each |= {f"{name}_cov_{row}": x for row, x in enumerate(covariance.T)}
        return each

    def table(self, levels: Sequence[float] = (0.05, 0.95)) -> Any:
        """DataFrame with the :meth:`columns` and the row labels of the request.

        Args:
            levels: Probabilities of the quantiles, in (0, 1).
        """
        pandas = require("pandas", by="Predictive.table")
        columns = {name: x.numpy() for name, x in self.columns(levels).items()}
        index = self.given.index if self.given.container == "pandas" else None
        fits = index is not None and len(index) == self.loc.shape[1]
        return pandas.DataFrame(columns, index=index if fits else None)


def _standard_cdf(z: Tensor, df: Tensor) -> Tensor:
    """Distribution function of a standard Gaussian or Student's t."""
    if bool(torch.isinf(df).all()):
        below: Tensor = torch.special.ndtr(z)
        return below
    special = require("scipy.special", by="Predictive with Student's t")
    found: Tensor = torch.from_numpy(special.stdtr(df.double().numpy(), z.double().numpy())).to(z)
    return found


def _heavy(z: Tensor, df: Tensor) -> Tensor:
    """Student's t with these degrees of freedom from standard normal numbers, at the same quantiles."""
    special = require("scipy.special", by="Predictive with Student's t")
    drawn = special.stdtrit(df.double().numpy(), torch.special.ndtr(z.double()).numpy())
    return torch.from_numpy(drawn)


def _standard_reach(p: float, df: Tensor) -> Tensor:
    """Distance of a component's quantile from its centre in scales, at most; also for half of the smaller tail."""
    tail = min(p, 1 - p) / 2
    return torch.where(torch.isinf(df), 40.0, (2 * tail ** (-1 / df) * df.clamp_min(1.0)).clamp_min(40.0))


@record("ensemble", skip=("given",))
@dataclass(frozen=True, kw_only=True, eq=False)
class Ensemble:
    """Members of possible outcomes of each case.

    Attributes:
        x: The members, ``(B, M, *F)``.
        dims: Names of the axes after the first two, e.g. ``("time", "feature")``.
        times: Their times, float64, where one of the axes is time.
        clock: What the times are, as in :class:`interpolants.framework.series.Series`.
        status: ``(B, M)``, 0 for members that arrived.
        columns: Names of the last axis.
        labels: Names along further axes, by the name of the axis: ``"case"``, or one of ``dims``.
        given: Container that the states came in.
    """

    x: Tensor
    dims: tuple[str, ...] = ()
    times: Tensor | None = None
    status: Tensor | None = None
    columns: tuple[str, ...] = ()
    clock: str = STEPS
    labels: Mapping[str, Sequence[str | int]] = field(default_factory=dict)
    given: Given = field(default=_PLAIN)

    @property
    def mean(self) -> Tensor:
        """Mean over the members, ``(B, *F)``."""
        return self.x.mean(1)

    @property
    def std(self) -> Tensor:
        """Sample standard deviation over the members, ``(B, *F)``."""
        return self.x.std(1)

    def quantile(self, p: float) -> Tensor:
        """Over members, ``(B, *F)``."""
        return self.x.quantile(p, 1)

    def in_kind(self, given: Given) -> "Ensemble":
        """The same, of states that came in a container; members stay a tensor with more axes, on its device."""
        named = given.container == "pandas" and len(given.columns) == self.x.shape[-1]
        columns = tuple(map(str, given.columns)) if named and not self.columns else self.columns
        status = None if self.status is None else _home(self.status, given)
        return replace(self, x=_home(self.x, given), status=status, given=given, columns=columns)

    def rows(self, rows: slice) -> "Ensemble":
        """Return the ensemble of the selected cases."""
        status = None if self.status is None else self.status[rows]
        labels = self.labels
        if "case" in labels:
            labels = {**labels, "case": tuple(labels["case"])[rows]}
        return replace(self, x=self.x[rows], status=status, labels=labels)

    @staticmethod
    def joined(parts: Sequence["Ensemble"]) -> "Ensemble":
        """Blocks of cases as one answer."""
        statuses = [part.status for part in parts if part.status is not None]
        x = torch.cat([part.x for part in parts])
        labels = dict(parts[0].labels)
        if "case" in labels:
            labels["case"] = tuple(name for part in parts for name in part.labels["case"])
        return replace(parts[0], x=x, status=torch.cat(statuses) if statuses else None, labels=labels)

    def to_numpy(self) -> Any:
        """The members as a NumPy array."""
        return self.x.detach().cpu().numpy()

    def table(self) -> Any:
        """A DataFrame with one row per case, member and time; times of a clock with dates are dates.

        Frames ahead count from 1. Cases and further axes have their names where these are known.
        """
        pandas = require("pandas", by="Ensemble.table")
        cases, members = self.x.shape[:2]
        last = self.x.shape[-1] if self.x.ndim > 2 else 1
        flat = self.x.reshape(-1, last).detach().cpu().numpy()
        axes = [
            self.labels.get("case", range(cases)),
            range(members),
            *map(self._labels, range(self.x.ndim - 3)),
        ]
        names = ["case", "member", *(self.dims[:-1] or [f"axis{i}" for i in range(self.x.ndim - 3)])]
        columns = list(self.columns) if len(self.columns) == last else [f"y{i}" for i in range(last)]
        index = pandas.MultiIndex.from_product(axes, names=names[: len(axes)])
        return pandas.DataFrame(flat, index=index, columns=columns)

    def summary(self, levels: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95)) -> Any:
        """A DataFrame of quantiles over members, with one row per time (and case, if there are several).

        Args:
            levels: Probabilities in (0, 1).

        Raises:
            InvalidInputError: If there is no axis of time and one of columns.
        """
        pandas = require("pandas", by="Ensemble.summary")
        if self.x.ndim != 4 or self.dims[:1] != ("time",):
            rule = "members must have an axis of time and one of columns"
            raise invalid("Ensemble.summary", rule, f"axes {self.dims}")
        found = self.x.double().quantile(torch.tensor(tuple(levels), dtype=torch.float64), 1)
        names = self.columns if len(self.columns) == self.x.shape[-1] else range(self.x.shape[-1])
        wide = len(names) > 1
        words = [f"{level:.4g}" for level in levels]
        columns = pandas.MultiIndex.from_product([names, words]) if wide else words
        flat = found.permute(1, 2, 3, 0).reshape(-1, len(columns)).numpy()
        index: Any = pandas.Index(self._labels(0), name="time")
        if len(self.x) > 1:
            cases = self.labels.get("case", range(len(self.x)))
            index = pandas.MultiIndex.from_product([cases, index], names=["case", "time"])
        return pandas.DataFrame(flat, index=index, columns=columns)

    def _labels(self, axis: int) -> Any:
        """Labels along an axis after the first two."""
        name = self.dims[axis] if axis < len(self.dims) else ""
        if name in self.labels:
            return self.labels[name]
        if self.times is not None and (name == "time" or (name == "frame" and self.clock == STEPS)):
            return dates(self.times, self.clock)
        return range(self.x.shape[2 + axis])
