"""Ensemble emulation and post-processing: many members of a forecast from a few of them.

Letters: N cases, M members, K seeds, C variables, G axes of the grid, v standardised anomalies.
"""

import math
from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from annotated_types import Interval

from interpolants.apps.weather.data.climatology import GridClimatology
from interpolants.apps.weather.ensembles import analysis_role, checked_seeds, ensemble_role, of_same_cases
from interpolants.apps.weather.member_rows import MemberRows, TargetUnits
from interpolants.apps.weather.nets.grid_edges import Edges, edges_of
from interpolants.apps.weather.seeded_net import SeededNet
from interpolants.data.gridded import Gridded
from interpolants.fields.protocol import QUANTITIES
from interpolants.foundations.asked import invalid, who
from interpolants.foundations.kinds import Answer, Check, Count, OneOf, Share
from interpolants.foundations.randomness import key
from interpolants.framework.capabilities import capability
from interpolants.framework.gridded import GriddedEnsemble, gridded_ensemble
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.methods.parts.choices import choose_path
from interpolants.methods.parts.conditional_flow import ConditionalFlow

# Numbers of a state that go through the network at once.
_BUDGET = 2**18


class EnsembleEmulator(Trained):
    """Learn the distribution of a further member given K members, and draw as many as are asked for.

    ::

        emulator = EnsembleEmulator(n_seeds=2).fit(reforecasts)          # xarray (time, number, latitude, longitude)
        ensemble = emulator.emulate(two_members, members=50)             # ensemble.dataset() is an xarray.Dataset

    One network learns a quantity of a one-sided path from Gaussian noise to standardised anomalies
    ``v = (f - mean_day) / std_day``, given K members of the same case; seeds and target are drawn anew at each step.
    Members of an answer are exchangeable and independent given the seeds, and the seeds are not among them.

    With an ``analysis`` (members of the truth as far as it is known, such as an ensemble of data assimilation) it
    corrects the forecast model: a target is a member of the analysis with probability ``1 - alpha``. Where the model is
    biased the target is then a mixture of two systems, and ``1 - alpha`` of the bias goes from the mean.

    Raises:
        InvalidInputError: If a setting is out of range, or the path has no Gaussian base.

    Source: Li, Carver, Lopez-Gomez, Sha & Anderson (2023), arXiv:2306.14066. Ours: convolutions instead of axial
    attention, a linear path, any grid of one or two axes.
    """

    only_cpu: ClassVar[str] = "fields stay where they were read"
    noun: ClassVar[str] = "emulator"

    n_seeds: Count = 2
    """K, fewer than the ensembles have members."""
    alpha: Share | None = None
    """Probability that a target is a member of the forecast model; None for 1 without an analysis, and with one for
    ``(M - K) / (M - K + A)``, A its members, so that all targets come equally often."""
    window: Annotated[int, Interval(ge=0, le=365)] = 0
    """Days of the window of the climatology, such as 15; 0 for one climatology of the whole year."""
    around: Literal["climatology", "seeds"] = "climatology"
    """``"climatology"``: the network learns anomalies of the climatology; ``"seeds"``: distances from the mean of the
    seeds in units of their size at each point, of targets and seeds alike. For few cases, and for short leads, where
    members differ by much less than cases do; the network is then not told where that mean lies, so that members are
    not drawn towards the climatology."""
    edges: Edges = "auto"
    """What lies beyond each axis of the grid, see ``nets.grid_edges.beyond_edges``; ``"auto"`` tells it by the
    coordinates: longitudes that go round the globe close, latitudes end at poles."""
    path: Annotated[Any, Check(choose_path)] = "one_sided_linear"
    """A one-sided path with a Gaussian base."""
    net: Any = "grid_convolution"
    """A network for fields that takes a field as condition: a name, a table, or an ``nn.Module`` called as
    ``net(x, t, field)``."""
    encoder: Mapping[str, int] = field(default_factory=dict)
    """Settings of the encoder of seeds: ``features``, ``blocks``."""
    head: Annotated[str, OneOf(lambda: QUANTITIES)] = "velocity"
    """Quantity that the network learns."""
    times: Any = "auto"
    """Where in time to learn, as in ``Bridge``."""
    n_steps: Answer[Count] = 16
    """Steps of the sampler."""
    steps = 2000
    batch_size = 64
    lr = 2e-3
    ema = 0.998

    def check_settings(self) -> None:
        """Make the flow, which refuses a path without a Gaussian base."""
        self.flow = ConditionalFlow(who=who(), path=self.path, head=self.head, times=self.times)

    def roles(self) -> tuple[Role, ...]:
        """Ensembles of a forecast model and, to correct it, of the analysis of the same cases."""
        return ensemble_role(), analysis_role()

    def fit(self, ensemble: Any, analysis: Any = None, **options: Any) -> Self:
        """Learn from ensembles.

        Args:
            ensemble: An ``xarray.Dataset`` or ``DataArray`` with axes of cases and members, an array ``(N, M, *F)``, or
                a NetCDF, Zarr or GRIB file.
            analysis: The analysis of the same cases, ``(N, A, *F)``, on the same grid.
            options: As in :meth:`interpolants.framework.method.Method.fit`. ``held={"ensemble": ...}`` keeps the
                weights with the least loss on these; take later cases.
        """
        known = {} if analysis is None else {"analysis": analysis}
        return super().fit(ensemble, **known, **options)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """The quantity of the path, by one gradient loop over random choices of seeds and target."""
        data = _on_one_grid(data)
        members, analysis = data["ensemble"], data.get("analysis")
        alpha, edges = self._alpha(members, analysis), edges_of(members.grid, self.edges)
        climate = GridClimatology.fit(members, self.window, who=who())

        def anomalies(fields: Gridded | None) -> Any:
            return None if fields is None else climate.encode(fields, who=who()).float()

        units = TargetUnits()
        if self.around == "seeds":
            units = TargetUnits.around_seeds(anomalies(members), anomalies(analysis), self.n_seeds)

        def rows(values: Mapping[str, Any]) -> MemberRows:
            season = climate.seasonal(values["ensemble"])
            return MemberRows(
                members=anomalies(values["ensemble"]), analysis=anomalies(values.get("analysis")), units=units,
                season=None if season is None else season.float(), seeds=self.n_seeds, alpha=alpha,
            )  # fmt: skip

        net = SeededNet(
            self.net, members.grid.shape, edges, dict(self.encoder), seasonal=bool(self.window), seed=self.seed,
            path=self.path if self.flow.wraps else None, head=self.head,
        )  # fmt: skip
        held = rows(_on_one_grid(run.held)) if run.held else None
        learnt = self.flow.learnt(run, "members", net, rows(data), self.training(), held=held, images=True)
        return {"net": learnt, "units": units, "climatology": climate, "alpha": alpha, "edges": list(edges)}

    def _alpha(self, members: Gridded, analysis: Gridded | None) -> float:
        """The share of targets from the forecast model, after the checks of sizes."""
        count = members.values.shape[1]
        if self.n_seeds >= count:
            rule = f"ensembles must have more than n_seeds = {self.n_seeds} members, to learn what the others are like"
            raise invalid(rule, count, "Use fewer seeds.")
        if analysis is None:
            if self.alpha is not None and self.alpha < 1:
                remedy = "Pass analysis=..., or use alpha=None."
                raise invalid("alpha < 1 needs an analysis to draw targets from", self.alpha, remedy)
            return 1.0
        left = count - self.n_seeds
        return left / (left + analysis.values.shape[1]) if self.alpha is None else float(self.alpha)

    @capability(reads={"seeds": "ensemble"}, like="seeds")
    def emulate(
        self,
        /,
        seeds: Gridded,
        *,
        members: Count = 31,
        method: str = "heun",
        seed: int = 0,
        first_index: int = 0,
        **settings: Any,
    ) -> GriddedEnsemble:
        """Further members of each case; the seeds are not among them.

        Args:
            seeds: K members of each case, ``(B, K, ...)``, on the grid of the fit.
            members: M.
            method: ODE solver by name.
            seed: Seed of the noise; member m of case i is one number of (seed, i, m), however many there are.
            first_index: Index of the first case in a larger job.
            settings: Settings of answers, for this call.

        Returns:
            ``(B, M, C, *G)`` in data units; ``.dataset()`` has the coordinates.

        Raises:
            InvalidInputError: If there are not K seeds, a value is missing, or the grid is another.
        """
        checked_seeds(who(), seeds, self.n_seeds)
        climate: GridClimatology = self.state["climatology"]
        v, season = climate.encode(seeds, who=who()).float(), climate.seasonal(seeds)
        units: TargetUnits = self.state["units"]
        told = self.state["net"].told(units.told(v), None if season is None else season.float())
        shape, fields = seeds.grid.shape, self.flow.fields(self.state["net"].net)
        drawn = [
            self.flow.drawn(
                fields, shape, len(told), seed=key(seed, "emulated member", m) >> 33, first=first_index, cond=told,
                method=method, n_steps=self.n_steps, chunk=max(1, _BUDGET // math.prod(shape)),
            ).x
            for m in range(members)
        ]  # fmt: skip
        x = climate.decode(torch.stack([units.decode(one, v) for one in drawn], 1), seeds, who=who())
        return gridded_ensemble(x, seeds)


def _on_one_grid(data: Mapping[str, Any]) -> dict[str, Any]:
    """The roles, the analysis on the grid of the members."""
    if data.get("analysis") is None:
        return dict(data)
    found = of_same_cases(who(), data["ensemble"], data["analysis"], "analysis")
    return {**data, "analysis": found}
