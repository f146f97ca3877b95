"""Bayesian neural networks whose prior was fitted to functions that a user can reason about."""

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from annotated_types import Ge, Interval
from torch import Generator, Tensor

from interpolants.foundations.asked import invalid, who
from interpolants.foundations.checks import number
from interpolants.foundations.kinds import Count, Each, Positive, Remedy, Whole
from interpolants.foundations.randomness import generator
from interpolants.foundations.tell import FitWarning, SettingWarning, tell
from interpolants.framework.answers import JointRows, Predictive
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.sciml.bayes.mcmc.convergence import MOST_R_HAT, effective_sample_size, split_r_hat
from interpolants.sciml.bayes.mcmc.sghmc import SGHMC, Slope, halves
from interpolants.sciml.bayes.nets.weight_vectors import ActivationName, WeightVectors
from interpolants.sciml.bayes.prior_matching import Matching, Places, Target, covariance_gap
from interpolants.sciml.bayes.target_process import Lengthscale, lengthscale_of
from interpolants.sciml.bayes.weight_priors import GaussianPrior, make_prior

# Prior of the noise variance of standardised values, InverseGamma(shape, rate); places at which chains are compared.
_NOISE_SHAPE, _NOISE_RATE, _COMPARED = 1.0, 0.05, 60
_TELLING = 10  # kept networks of a chain from which a warning is given


class FunctionalPrior(Method):
    """``y = f(x; w) + e``; the prior of w is fitted so that f looks like a Gaussian process, then w is sampled.

    ::

        model = FunctionalPrior().fit(points, values)      # (N, D), (N,)
        answer = model.predict(new_points)                 # .mean, .std, .quantile(0.95)
        model.r_hat                                        # do the chains agree?
        FunctionalPrior().fit(others, their_values, model=model)   # the fitted prior, on other data

    Independent N(0, 1) weights are a convention, whose functions nobody chose. Here the standard deviations of each
    layer's weights and biases (or more, see ``prior``) make the functions look like those of a Gaussian process with a
    squared exponential kernel, by the distance of Wasserstein of values at random places. The posterior is sampled by
    stochastic gradient Hamiltonian Monte Carlo, several chains at once. Columns and values are standardised.

    Raises:
        InvalidInputError: If a setting is out of range, when fitted also for values of more than one column, or
            gradients
            that are too noisy for the friction.

    Source: Tran, Rossi, Milios & Filippone (2022), arXiv:2011.12829. Ours: the sliced distance, the noise as an
    unknown, scales drawn for every function, and a sampler that measures the noise of its gradients.
    """

    noun: ClassVar[str] = "Bayesian network"
    only_cpu: ClassVar[str] = "its chains are small"
    free: ClassVar[tuple[str, ...]] = ("checkpoint_every",)

    hidden: Annotated[tuple[Count, ...], Each("every width of hidden")] = (50,)
    """Widths of the hidden layers."""
    activation: ActivationName = "tanh"
    """As for the MLP."""
    prior: Literal["gaussian", "hierarchical", "flow", "standard"] = "gaussian"
    """``"gaussian"``: a standard deviation for each layer's weights and biases; ``"hierarchical"``: their variances are
    inverse gamma; ``"flow"``: planar flows of all weights; ``"standard"``: N(0, 1), not fitted."""
    lengthscale: Lengthscale = "auto"
    """Of the process, in standard deviations of the columns; ``"auto"`` for ``sqrt(2 D)``."""
    amplitude: Positive = 1.0
    """Standard deviation of the process, in those of the values."""
    distance: Literal["sliced", "critic"] = "sliced"
    """``"sliced"`` (sorted projections) or ``"critic"`` (a network with a gradient penalty, as in the paper)."""
    match_steps: Whole = 200
    """Steps of the prior."""
    match_lr: Positive = 0.05
    """Their learning rate."""
    functions: Annotated[int, Ge(2)] = 128
    """Functions drawn of both for a step."""
    places: Annotated[int, Ge(2)] = 100
    """Places at which they are compared; at most as many as functions, else a `SettingWarning` is issued."""
    critic_steps: Count = 60
    """Steps of the critic in each step."""
    noise: Annotated[Literal["auto"] | Positive, Remedy("Or take 'auto'.")] = "auto"
    """Standard deviation of e in units of the values; ``"auto"`` samples it with the weights."""
    chains: Annotated[int, Ge(2)] = 4
    """Number of chains."""
    samples: Annotated[int, Ge(4)] = 30
    """Networks kept of each chain."""
    thin: Count = 50
    """Steps between two networks that are kept."""
    burn_in: Count = 1500
    """Steps before the first of them."""
    step: Positive = 0.03
    """Step e of the sampler."""
    friction: Annotated[float, Interval(gt=0, lt=1)] = 0.05
    """Friction of the sampler."""
    batch_size: Annotated[
        Literal[0] | Annotated[int, Ge(2)],
        Remedy("Or 0, for all rows: the halves of a batch tell how noisy gradients are."),
    ] = 0
    """Rows of a gradient; 0 for all, whose gradient has no noise."""
    checkpoint_every: Count = 10
    """Kept networks between checkpoints."""

    def roles(self) -> tuple[Role, ...]:
        """Points and their values, and a fitted method whose prior is taken."""
        about = "a fitted FunctionalPrior, whose prior is taken instead of fitting one"
        return (
            Role(name="points", exact=True),
            Role(name="values", exact=True, about="One column."),
            Role(name="model", kind="model", axis="", optional=True, about=about),
        )

    def fit(self, *args: Any, **given: Any) -> Self:
        """Fit the prior, then sample, from ``points`` and ``values``; options as in :meth:`Method.fit`.

        With ``model``, a fitted `FunctionalPrior` with the same network and as many columns, the prior is that one's.
        """
        return super().fit(*args, **given)

    # --- fit

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """The prior, then the chains."""
        points, values = data["points"], data["values"]
        if points.ndim != 2 or values.ndim != 2 or values.shape[1] != 1 or len(points) < 2:
            shapes = f"points {tuple(points.shape)}, values {tuple(values.shape)}"
            raise invalid("points must be (N, D), values (N,) or (N, 1), N >= 2", shapes)
        number(who(), "the spread of the values", values.std(), above=0)
        units = {
            "x_centre": points.mean(0),
            "x_scale": _scale(points),
            "y_centre": values.mean(0),
            "y_scale": _scale(values),
        }
        x, y = (
            (points - units["x_centre"]) / units["x_scale"],
            (values - units["y_centre"]) / units["y_scale"],
        )
        net = self._net(x.shape[1])
        taken = data.get("model")
        prior = self._matched(net, x, run) if taken is None else self._taken(taken, x.shape[1])
        posterior = _Posterior(self, net, prior, x, y[:, 0], float(units["y_scale"][0]))
        found = run.loop(
            "chains",
            posterior.start,
            posterior.interval,
            1 + self.samples,
            every=self.checkpoint_every,
            log=lambda state: {"noise_std": float(state["variance"].mean().sqrt())},
            log_every=1,
        )
        told = posterior.diagnosed(found)
        source = generator(self.seed, "prior gap")
        compared = Places(x, _COMPARED).draw(source)
        told["prior_gap"] = covariance_gap(net, prior, self._target(x.shape[1]), compared, source)
        if self.samples >= _TELLING and not told["r_hat"] <= MOST_R_HAT:  # of fewer draws it says little
            words = f"{who()}: the chains do not agree, R-hat {told['r_hat']:.3g} > {MOST_R_HAT}; their error bars are "
            words += "not reliable. Use a longer burn_in, or a larger thin."
            tell(FitWarning, words)
        return {
            **units,
            "weights": found["kept"].flatten(0, 1),
            "noise": found["noises"].flatten(),
            "spreads": prior.spreads().detach(),
            "family": self.prior if taken is None else taken.fitted_state("fit")["family"],
            "prior": {name: value.detach() for name, value in prior.state_dict().items()},
            "told": told,
        }

    def _net(self, inputs: int) -> WeightVectors:
        return WeightVectors(inputs=inputs, outputs=1, hidden=tuple(self.hidden), activation=self.activation)

    def _target(self, columns: int) -> Target:
        return Target(lengthscale_of(self.lengthscale, columns), self.amplitude)

    def _taken(self, model: Any, columns: int) -> GaussianPrior:
        """The prior of a fitted method, for the same network."""
        rule = "model must be a fitted FunctionalPrior with the same network and as many columns"
        if not isinstance(model, FunctionalPrior):
            raise invalid(rule, type(model).__name__)
        theirs = (tuple(model.hidden), model.activation, len(model.fitted_state("fit")["x_centre"]))
        if theirs != (tuple(self.hidden), self.activation, columns):
            remedy = f"Use hidden={theirs[0]}, activation={theirs[1]!r}, and points of {theirs[2]} columns."
            raise invalid(rule, f"a network of {(*self.hidden,)}", remedy)
        return model.fitted_prior

    def _matched(self, net: WeightVectors, x: Tensor, run: Run) -> GaussianPrior:
        """The prior after its fit."""
        prior = make_prior(self.prior, net, self.seed)
        if self.prior == "standard" or not self.match_steps:
            return prior.requires_grad_(False)
        if self.functions < self.places:
            told = f"{who()}: {self.functions} functions are compared at {self.places} places; the fitted "
            told += "prior follows the noise of the draws. Use more functions, or fewer places."
            tell(SettingWarning, told)
        optimizer = torch.optim.RMSprop(prior.parameters(), self.match_lr)
        places, target = Places(x, self.places), self._target(x.shape[1])
        matching = Matching(
            net, prior, target, places, self.functions, optimizer, self.distance, self.critic_steps
        )

        def step(k: int, source: Generator) -> Mapping[str, float]:
            for group in optimizer.param_groups:  # cosine: the last steps average over the noise of draws
                group["lr"] = self.match_lr * 0.5 * (1 + math.cos(math.pi * (k - 1) / self.match_steps))
            with torch.enable_grad():
                return matching.step(k, source)

        run.live("prior", {"prior": prior, "optimizer": optimizer}, step, self.match_steps)
        return prior.requires_grad_(False)

    # --- what was found

    @property
    def r_hat(self) -> float:
        """Largest split R-hat of the functions at points of the fit; above 1.1 the chains do not agree."""
        return float(self.fitted_state("r_hat")["told"]["r_hat"])

    @property
    def effective_samples(self) -> float:
        """Smallest effective number of independent networks, over the same points."""
        return float(self.fitted_state("effective_samples")["told"]["effective_samples"])

    @property
    def noise_std(self) -> float:
        """Mean standard deviation of the noise, in units of the values."""
        state = self.fitted_state("noise_std")
        return float(state["noise"].sqrt().mean() * state["y_scale"][0])

    @property
    def fitted_prior(self) -> GaussianPrior:
        """The prior of the weights, in standard units of points and values: ``.draw(n, generator)`` gives weights.

        Raises:
            InvalidInputError: If the method was saved by a version that did not keep the prior, and it was hierarchical
                or a flow.
        """
        state = self.fitted_state("fitted_prior")
        net = self._net(len(state["x_centre"]))
        if "prior" not in state and self.prior in ("hierarchical", "flow"):
            rule = "a prior that is hierarchical or a flow must be kept in the folder"
            raise invalid(rule, "its spreads alone", "Fit it again.")
        prior = make_prior(state.get("family", self.prior), net, self.seed)
        kept = state.get("prior", {"raw": state["spreads"].expm1().log()})
        prior.load_state_dict(kept)
        return prior.requires_grad_(False)

    def functions_of_prior(self, x: Tensor, n: int, *, seed: int = 0) -> Tensor:
        """Values of some functions of the fitted prior, ``(n, B)``, in standard units.

        Args:
            x: Standardised points ``(B, D)``.
            n: Number of functions.
            seed: Seed of the draws.
        """
        net, source = self._net(x.shape[1]), generator(seed, "functions of the prior")
        return net(self.fitted_prior.draw(n, source), x.double())[..., 0]

    # --- answers

    @capability(reads={"x": "points"}, like="values", blocks=True)
    def predict(self, x: Tensor, *, noise: bool = True, joint: bool = False) -> Predictive:
        """Distribution of the value at each point: a Gaussian for each network that was kept, mixed.

        Args:
            x: ``(B, D)``.
            noise: Of a measurement, with its noise; else of the function.
            joint: One distribution of all points together, a mixture of whole functions, instead of one for each.
        """
        state = self.state
        f = self._net(x.shape[1])(state["weights"], (x - state["x_centre"]) / state["x_scale"])
        spread = state["noise"].sqrt() if noise else torch.full_like(state["noise"], 1e-6)
        scale = (state["y_scale"] * spread[:, None, None]).expand_as(f)
        loc = state["y_centre"] + state["y_scale"] * f
        return Predictive(loc=loc, scale=scale, joint=JointRows() if joint else None)


class _Posterior:
    """Chains over weights and noise of standardised rows; a step of the loop is one interval between kept networks."""

    def __init__(
        self,
        model: FunctionalPrior,
        net: WeightVectors,
        prior: GaussianPrior,
        x: Tensor,
        y: Tensor,
        scale: float,
    ) -> None:
        self.model, self.net, self.prior, self.x, self.y = model, net, prior, x, y
        self.sampler = SGHMC(step=model.step, friction=model.friction)
        self.known = None if model.noise == "auto" else (float(model.noise) / scale) ** 2

    def start(self, source: Generator) -> dict[str, Any]:
        """Draws of the prior, and the noise of values that nothing explains."""
        chains, kept = self.model.chains, self.model.samples
        u = torch.randn(chains, self.net.count, dtype=torch.float64, generator=source)
        noise = torch.full((chains,), 1.0 if self.known is None else self.known, dtype=torch.float64)
        state = {**self.sampler.start(u), "scales": self.prior.scales(chains, source), "variance": noise}
        return {
            **state,
            "kept": u.new_zeros(kept, chains, self.net.count),
            "noises": u.new_ones(kept, chains),
        }

    def interval(self, state: dict[str, Any], k: int, source: Generator) -> dict[str, Any]:
        """The burn-in as the first, then the steps between two networks that are kept."""
        first = k == 1
        for j in range(self.model.burn_in if first else self.model.thin):
            # Scales and noise are drawn given the weights; often while all is far from where it belongs.
            if j % 10 == 0:
                state = self._resampled(state, source)
            state = {
                **state,
                **self.sampler.advance(state, self._gradient(state, source), source, adapt=first),
            }
        if first:
            return state
        place = torch.tensor([k - 2])
        w = self.prior.weights(state["w"], state["scales"])
        kept = state["kept"].index_copy(0, place, w[None])
        return {
            **state,
            "kept": kept,
            "noises": state["noises"].index_copy(0, place, state["variance"][None]),
        }

    def _resampled(self, state: dict[str, Any], source: Generator) -> dict[str, Any]:
        """Gibbs steps of the scales and of the noise variance, ``InverseGamma(a + N / 2, b + SSE / 2)``."""
        u, scales = self.prior.resampled(state["w"], state["scales"], source)
        noise = state["variance"]
        if self.known is None:
            f = self.net(self.prior.weights(u, scales), self.x)[..., 0]
            squares = (f - self.y).square().sum(1)
            shape = torch.full_like(squares, _NOISE_SHAPE + len(self.y) / 2)
            noise = (_NOISE_RATE + squares / 2) / torch._standard_gamma(shape, generator=source)
        return {**state, "w": u, "scales": scales, "variance": noise}

    def _gradient(self, state: dict[str, Any], source: Generator) -> Callable[[Tensor], Slope]:
        """Gradient of minus the log posterior of u, of all rows or of the two halves of a batch."""
        n, size = len(self.y), self.model.batch_size
        if not size or size >= n:
            every = slice(None)
            return lambda u: Slope(self._slope(u, state, every, 1.0))
        rows = torch.randint(n, (2, size // 2), generator=source)
        share = n / (size // 2)
        return lambda u: halves(*(self._slope(u, state, half, share) for half in rows))

    def _slope(self, u: Tensor, state: dict[str, Any], rows: Any, share: float) -> Tensor:
        u = u.detach().requires_grad_()
        with torch.enable_grad():
            f = self.net(self.prior.weights(u, state["scales"]), self.x[rows])[..., 0]
            errors = (f - self.y[rows]).square().sum(1)
            loss = (0.5 * share * errors / state["variance"]).sum()
        return torch.autograd.grad(loss, u)[0] + u.detach()

    def diagnosed(self, state: dict[str, Any]) -> dict[str, float]:
        """Agreement of the chains in their functions: weights themselves can be permuted at no cost."""
        source = generator(self.model.seed, "compared points")
        x = self.x[torch.randperm(len(self.x), generator=source)[:_COMPARED]]
        kept = state["kept"]
        f = self.net(kept.flatten(0, 1), x)[..., 0].reshape(*kept.shape[:2], -1).transpose(0, 1)
        draws = torch.cat([f, state["noises"].T.log()[..., None]], 2) if self.known is None else f
        r_hat = split_r_hat(draws)
        told = {
            "r_hat": float(torch.nan_to_num(r_hat, nan=math.inf).max()),
            "median_r_hat": float(r_hat.median()),
        }
        return {**told, "effective_samples": float(effective_sample_size(draws).min())}


def _scale(x: Tensor) -> Tensor:
    scale = x.std(0)
    return torch.where(scale > 0, scale, 1.0)
