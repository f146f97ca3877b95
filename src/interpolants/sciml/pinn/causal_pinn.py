"""Physics-informed networks that are trained causally: early times first, by weights that follow the residual."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from annotated_types import Ge, Interval
from torch import Generator, Tensor

from interpolants.foundations.asked import invalid, who
from interpolants.foundations.kinds import Check, Count, Positive, Whole
from interpolants.foundations.randomness import generator
from interpolants.foundations.tell import FitWarning, tell
from interpolants.framework.capabilities import capability
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.framework.stored import misses_code
from interpolants.framework.trained import Trained
from interpolants.pde.evolution import Evolution, check_evolution, noted_derivatives
from interpolants.sciml.pinn.network import SolutionNet
from interpolants.sciml.pinn.window import Batches, ResidualLoss, Window
from interpolants.training.causal import Causal, causal_weights, check_ladder
from interpolants.training.pairs import finished

TYPES = {"float32": torch.float32, "float64": torch.float64}
# Times at which a finished window is judged, and the times of the fixed points of the polish for one of a step.
_FRESH, _FINER = 2000, 8
_PROBES = 7
# Times as which the loss of the initial data counts, of so many in a window, whatever batch_size.
_INITIAL_TIMES = 64
# The criterion tells nothing where a state at rest stays below it by such a share of what it allows.
_VOID = 0.1
POINTS = Role(name="points", about="File with columns t, or t and x.")


def _ladder(who: str, value: Any) -> tuple[float, ...]:
    return check_ladder(who, value, "steepness")


class CausalPINN(Trained):
    """Solve an evolution equation by a network whose residual is made small, early times before late ones.

    The loss is ``mean_i w_i L(t_i)`` with ``L(t_i)`` the mean squared residual at time ``t_i`` over places and
    components, and ``w_i = exp(-eps sum_{k < i} L(t_k))`` without a gradient. Times are drawn anew in each step, one in
    each of n cells: a network can jump between fixed ones. ``eps = steepness T / n`` for a window of length T, so that
    ``w(t) = exp(-steepness int_0^t L)`` whatever n. The steepness climbs a ladder, whose rung is left when all weights
    exceed ``delta``, or after its share of the steps. ``steepness=0`` is the plain physics-informed network.

    ::

        pinn = CausalPINN(steps=4000).fit(pde.LotkaVolterra())
        u = pinn.solve(times)                # (N, 1) -> (N, 2)
        r = pinn.residual(times)

    ``state["windows"]`` has the last rung with the smallest weight on 2000 fresh times, ``w_min``: near 1 the residual
    is small everywhere, and far below it the solution must not be trusted. ``steepness=0`` has no such criterion, and
    NaN there.

    The algorithm's authors state that a patent (University of Pennsylvania) covers causal training of physics-informed
    networks and excludes commercial use without a licence; see the page of the method. ``steepness=0`` does not use it.

    Raises:
        InvalidInputError: If a setting is out of range.

    Source: Wang, Sankaran & Perdikaris (2024), arXiv:2203.07404. Ours: times in cells, derivatives by Taylor
    coefficients, a ladder with a share of the steps for each rung, and the judgement on fresh times.
    """

    noun: ClassVar[str] = "solver"
    former: ClassVar[Mapping[str, str]] = {
        "eps": "It was replaced by 'steepness' = eps batch_size / T, T being the length of a window.",
    }

    steepness: Annotated[Any, Check(_ladder, "number >= 0 | several, increasing")] = (12.8, 128.0)
    """Ladder of strengths of the causal weights, increasing, in 1 / (time x squared residual); a number for one
    rung."""
    delta: Annotated[float, Interval(gt=0, lt=1)] = 0.99
    """What all weights must exceed for the next rung."""
    window: Positive | None = None
    """Longest window of time: longer problems are solved in equal windows one after the other, each by a network of its
    own that starts from the last one's end. None for one window."""
    places: Count = 32
    """Places in x at each time, for problems with space."""
    initial_weight: Positive = 100.0
    """Weight of the squared error of the initial data, for problems with space; without space the start is exact."""
    initial_first: bool = False
    """Count the loss of the initial data in the weights, so that even the first time waits for it. It counts as a
    residual that lasts for 1/64 of the window."""
    width: Count = 50
    """Units of a hidden layer."""
    depth: Count = 2
    """Hidden layers."""
    modified: bool = False
    """Gate the hidden layers by two maps of the features."""
    modes: Count = 5
    """Fourier modes of x, for problems with space."""
    first_scale: Positive = 4.0
    """Standard deviation of the weights of time in the first layer."""
    polish: Whole = 0
    """Steps of L-BFGS at the end of a window, if the criterion holds on fresh times; 0 for none."""
    dtype: Literal["float32", "float64"] = "float32"
    """Type of the network's numbers."""
    steps = 12000
    batch_size: Annotated[int, Ge(2)] = 64
    """Times n of a step."""
    lr = 5e-3
    ema = None

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_parts`; folders that stored eps have the same steepness."""
        settings, state = dict(parts["settings"]), parts["state"]
        if "eps" in settings and state is not None:
            per_length = settings["batch_size"] / state["windows"][0]["length"]
            settings["steepness"] = tuple(
                rung * per_length for rung in check_ladder("load", settings.pop("eps"))
            )
        return super().from_parts({**parts, "settings": settings})

    def identity(self) -> dict[str, Any]:
        """The steps decide how long a rung lasts, whatever the schedule."""
        return {**super().identity(), "steps": self.steps}

    def roles(self) -> tuple[Role, ...]:
        """The problem; there are no data."""
        return (Role(name="problem", kind="problem", axis="", about="An evolution equation."),)

    def fit(self, problem: Any, **options: Any) -> Self:
        """Solve a problem.

        Args:
            problem: An :class:`interpolants.pde.Evolution`, such as ``pde.ODE(rates=f, start=(1.0,), end=5.0)``.
            options: As in :meth:`interpolants.framework.method.Method.fit`.
        """
        return super().fit(problem, **options)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """One window after the other."""
        problem = data["problem"]
        highest = check_evolution(who(), problem, slopes=True)
        self._check_same_code(run, problem, highest)
        count = 1 if self.window is None else math.ceil(problem.end / self.window - 1e-9)
        length = problem.end / count
        nets: list[SolutionNet] = []
        found = []
        for k in range(count):
            begin = k * length
            start = problem.initial_at if k == 0 else _end_of(nets[k - 1], begin)
            window = Window(problem, highest, begin, length, start, TYPES[self.dtype])
            nets.append(self._new_net(window, k))
            found.append(self._train(run, window, nets[k], k))
            if self.polish and not found[k]["w_min"] <= self.delta:
                self._polish(run, window, nets[k], k)
                found[k] |= self._judged(window, nets[k], k)
            nets[k].eval().requires_grad_(False)
        about = {"axes": problem.axes, "names": tuple(problem.names), "end": float(problem.end)}
        return {"problem": problem, "highest": highest, "nets": nets, "windows": found, **about}

    # --- a window

    def _new_net(self, window: Window, k: int) -> SolutionNet:
        problem = window.problem
        known = None if window.has_space else window.start(torch.zeros(1, 0, dtype=torch.float64))[0].tolist()
        sizes = {name: getattr(self, name) for name in ("modes", "width", "depth", "modified", "first_scale")}
        seed = int(torch.randint(2**31, (), generator=generator(self.seed, "window net", k)))
        net = SolutionNet(
            len(problem.names),
            window.begin,
            window.length,
            period=problem.period,
            start=known,
            seed=seed,
            **sizes,
        )
        return net.to(window.dtype)

    def _train(self, run: Run, window: Window, net: SolutionNet, k: int) -> dict[str, Any]:
        """Adam on the causal loss; what became of the window."""
        causal = Causal(
            tuple(self._eps(rung, window) for rung in self.steepness),
            rung_steps=math.ceil(self.steps / len(self.steepness)),
            delta=self.delta,
            first="initial" if self.initial_first and window.has_space else "",
            first_places=self.batch_size / _INITIAL_TIMES,
        )
        batches = Batches(window, self.batch_size, self.places)
        loss = ResidualLoss(window, self.initial_weight)
        result = run.train(f"window-{k + 1}", net, loss, batches, self.training(), aggregate=causal)
        finished(net, result, prefix="")
        causal.warn(who())
        if k == 0:
            self._check_telling(window)
        return {
            "begin": window.begin,
            "length": window.length,
            "stalled": causal.stalled,
            **self._judged(window, net, k),
        }

    def _eps(self, steepness: float, window: Window) -> float:
        """Strength for the sum over the times of a step, in 1 / squared residual."""
        return steepness * window.length / self.batch_size

    def _judged(self, window: Window, net: SolutionNet, k: int) -> dict[str, Any]:
        """Strength of the last rung and the smallest weight on fresh times; NaN for a strength of 0."""
        steepness = self.steepness[-1]
        source = generator(self.seed, "fresh times", k)
        w_min = window.smallest_weight(net, steepness, self.places, source, _FRESH) if steepness else math.nan
        return {"eps": self._eps(steepness, window), "steepness": steepness, "w_min": w_min}

    def _check_telling(self, window: Window) -> None:
        """Say so where a state that stays at the start would pass: in tiny units all residuals are small."""
        if window.has_space or not self.steepness[-1]:
            return
        _, points = window.points(_FRESH, self.places, generator(self.seed, "times at rest"))
        at_rest, _ = noted_derivatives(window.start(points[:, 1:].double()).to(window.dtype))
        left = window.problem.residual_at(points, at_rest).square().reshape(_FRESH, -1).mean(1)
        least = float(causal_weights(left, self.steepness[-1] * window.length / _FRESH).min())
        if float(left.mean()) > 0 and 1 - least < _VOID * (1 - self.delta):
            told = (
                f"a state that stays at the start would have w_min = {least:.6g}, so that w_min tells nothing"
            )
            better = 10 / (window.length * float(left.mean()))
            remedy = f"Use units in which u and t are of size one, or a last steepness near {better:.1g}."
            tell(FitWarning, f"{who()}: {told}. {remedy}")

    def _polish(self, run: Run, window: Window, net: SolutionNet, k: int) -> None:
        """L-BFGS on many fixed points, where all weights are near 1."""
        net.requires_grad_(True)
        source = generator(self.seed, "polish", k)
        times, points = window.points(_FINER * self.batch_size, self.places, source)
        start = window.start_points(_FINER * self.places, source) if window.has_space else None
        optimizer = torch.optim.LBFGS(
            net.parameters(), max_iter=1, history_size=50, line_search_fn="strong_wolfe"
        )

        def loss() -> Tensor:
            optimizer.zero_grad()
            total = window.losses(net, times, points).mean()
            if start is not None:
                total = total + self.initial_weight * window.miss(net, start)
            total.backward()  # type: ignore[no-untyped-call]
            return total

        def step(k: int, source: Generator) -> dict[str, float]:
            before: Tensor = optimizer.step(loss)  # type: ignore[no-untyped-call]
            return {"loss": float(before.detach())}

        run.live(f"polish-{k + 1}", {"net": net, "lbfgs": optimizer}, step, self.polish)

    def _check_same_code(self, run: Run, problem: Evolution, highest: Mapping[str, int]) -> None:
        """Files know code of a user's own by its name alone: a fit that goes on compares what it answers."""
        now = _probed(problem, highest)
        then = run.once("problem", lambda source: now)
        if not torch.allclose(now, then, rtol=1e-5, atol=1e-8, equal_nan=True):
            rule = "resume=True must go on with the same problem"
            raise invalid(rule, "a residual with other values", "Choose another folder.")

    # --- answers

    def columns(self, name: str) -> tuple[str, ...]:
        """Axes of points and components of u, as the problem names them."""
        if not self.is_fitted:
            return ()
        known: dict[str, tuple[str, ...]] = {"points": self.state["axes"], "u": self.state["names"]}
        return known.get(name, ())

    def probe(self) -> Tensor | None:
        """The residual of the problem on functions that are known; None without its code."""
        if misses_code(self.state["problem"]):
            return None
        return _probed(self.state["problem"], self.state["highest"])

    @capability(reads={"points": POINTS}, like="u", blocks=True)
    def solve(self, points: Tensor) -> Tensor:
        """The solution at points.

        Args:
            points: Times ``(N, 1)``, or times and places ``(N, 2)``; times in [0, end], places in any period.

        Returns:
            ``(N, C)``.
        """
        return self._by_window(points, lambda net, at: net(at))

    @capability(reads={"points": POINTS}, like="u", blocks=True)
    def residual(self, points: Tensor) -> Tensor:
        """What is left of the equation at points, in its own units.

        Args:
            points: As in :meth:`solve`.

        Returns:
            ``(N, C)``.
        """
        problem, highest = self.state["problem"], self.state["highest"]
        return self._by_window(points, lambda net, at: problem.residual_at(at, net.jet(at, highest)))

    def _by_window(self, points: Tensor, answer: Any) -> Tensor:
        """Answers of each window's network for the times of its window."""
        self._check_points(points)
        at, nets = points.to(TYPES[self.dtype]), self.state["nets"]
        begins = torch.tensor([one["begin"] for one in self.state["windows"]], dtype=torch.float64)
        index = (torch.bucketize(points[:, 0].double().contiguous(), begins, right=True) - 1).clamp_min(0)
        found = at.new_zeros(len(at), len(self.state["names"]))
        # All rows go through each network that is needed, so that the bits of a row do not depend on the others.
        for k in sorted(set(index.tolist())):
            found = torch.where((index == k)[:, None], answer(nets[k], at), found)
        return found

    def _check_points(self, points: Tensor) -> None:
        axes, end = self.state["axes"], self.state["end"]
        if points.ndim != 2 or points.shape[1] != len(axes):
            remedy = f"Pass one row per point, with columns {', '.join(axes)}."
            raise invalid(f"points must have shape (N, {len(axes)})", tuple(points.shape), remedy)
        t, slack = points[:, 0], 1e-6 * end
        outside = t[(t < -slack) | (t > end + slack)]
        if len(outside):
            remedy = "The first column is the time; outside of what was solved a network says nothing."
            raise invalid(f"times must lie in [0, {end:g}]", f"{float(outside[0]):g}", remedy)


def _end_of(net: SolutionNet, time: float) -> Any:
    """State of a trained network at a time, as the start of what follows."""

    @torch.no_grad()
    def start(x: Tensor) -> Tensor:
        dtype = next(net.parameters()).dtype
        points = torch.cat([torch.full_like(x[:, :1] if x.shape[1] else x.new_zeros(len(x), 1), time), x], 1)
        found: Tensor = net(points.to(dtype))
        return found.to(x.dtype)

    return start


def _probed(problem: Evolution, highest: Mapping[str, int]) -> Tensor:
    """The residual of a fixed network at a few points, float64."""
    net = SolutionNet(
        len(problem.names), 0.0, problem.end, period=problem.period, modes=2, width=4, depth=1
    ).double()
    share = torch.linspace(0.05, 0.95, _PROBES, dtype=torch.float64)[:, None]
    points = share * problem.end
    if problem.period is not None:
        low, high = problem.period
        points = torch.cat([points, low + (high - low) * share.flip(0)], 1)
    with torch.no_grad():
        return problem.residual_at(points, net.jet(points, highest))
