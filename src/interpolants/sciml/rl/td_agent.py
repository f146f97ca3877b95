"""An agent that learns by acting, with critics that know how noisy their temporal-difference errors are."""

from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Interval
from torch import Generator, Tensor

from interpolants.foundations import errors
from interpolants.foundations.asked import invalid, who
from interpolants.foundations.errors import DivergedError
from interpolants.foundations.extras import require
from interpolants.foundations.kinds import Count, NonNegative, Positive, Share
from interpolants.foundations.randomness import generator, global_generators, key
from interpolants.foundations.tell import DataWarning, tell
from interpolants.framework.capabilities import capability, verb
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.sciml.rl.assessments import ASSESSED, assessed
from interpolants.sciml.rl.critic_loss import Centre, CriticLoss, Head
from interpolants.sciml.rl.critics import Critics
from interpolants.sciml.rl.hooked_ppo import Factory, Hook, Returns, make_ppo
from interpolants.sciml.rl.noisy_control import NoisyControl

verb("act", "observation")


class TDAgent(Method):
    """Proximal policy optimisation whose critics model their temporal-difference errors as generalised Gaussian.

    The loop is that of Stable-Baselines3; the loss of the values is
    :class:`~interpolants.sciml.rl.critic_loss.CriticLoss` over an ensemble. Environments begin anew with every rollout,
    so an interrupted training goes on to the same bits, and states that are reached later than ``rollout`` steps after
    a start are not seen. The actor never sees the law::

        agent = TDAgent(steps=100_000).fit(lambda: gymnasium.make("CartPole-v1"))
        agent.act(observations)                # the likeliest action of each row
        agent.assess(observations)             # value, noise of its errors, disagreement of the ensemble

    Raises:
        InvalidInputError: If a setting is out of range; when fitted, if the environment is none, its observations are
            no row of numbers, or its actions are neither one of a few nor a row of numbers.
        DivergedError: If the loss is not finite.

    Source: Kim et al. (2024), arXiv:2408.02295; Schulman et al. (2017), arXiv:1707.06347.
    """

    noun: ClassVar[str] = "agent"
    only_cpu: ClassVar[str] = "its environments step on the CPU, and its networks are small"

    head: Head = "generalized"
    """Law of the errors; ``"squared"`` for none."""
    centre: Centre = "likelihood"
    """What values are: ``"likelihood"``, the centre of the law; or ``"mean"``."""
    agreement: NonNegative = 0.1
    """Weight lambda of the errors that are weighed by the agreement of the ensemble."""
    members: Count = 5
    """Critics."""
    fixed_scale: bool = False
    """Whether the scale is 1 and the power alone is learnt, as in the paper; ``reward_scale`` matters."""
    least_power: Annotated[float, Interval(gt=0, lt=2)] = 1.0
    """Least power of the law; below 1 its likelihood has no bound where outcomes are few, see `TDCritic`."""
    reward_scale: Positive = 1.0
    """Typical size of a reward. Rewards are divided by it and by the horizon, so values are near 1."""
    hidden: tuple[Count, ...] = (64, 64)
    """Widths of the layers of the actor and of each critic."""
    steps: Count = 100_000
    """Steps of the environments together, rounded up to whole rollouts."""
    environments: Count = 8
    """Copies that are stepped in turn."""
    rollout: Annotated[int, Ge(2)] = 512
    """Steps of each copy between two updates; longer than an episode."""
    epochs: Count = 10
    """Passes over a rollout."""
    batch_size: Annotated[int, Ge(2)] = 512
    """Rows of a minibatch; divides a rollout."""
    lr: Positive = 1e-3
    """Learning rate of Adam."""
    gamma: Share = 0.99
    """Discount."""
    trace: Share = 0.95
    """lambda of the advantages."""
    clip: Positive = 0.2
    """How far a ratio of probabilities counts."""
    entropy: NonNegative = 0.0
    """Weight of the entropy."""

    def check_settings(self) -> None:
        """Refuse a single critic that is to agree, and rollouts of no whole batches; make the loss."""
        check_members(self.members, self.agreement)
        self._loss = CriticLoss(self.head, self.centre, self.agreement)
        if (self.environments * self.rollout) % self.batch_size:
            rule = f"batch_size must divide a rollout of {self.environments} x {self.rollout} steps"
            raise invalid(rule, self.batch_size)

    def roles(self) -> tuple[Role, ...]:
        """A function that makes the environment."""
        about = "A function without arguments that makes an environment, or the name of one."
        return (Role(name="environment", kind="environment", axis="", about=about),)

    # --- fit

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Rollouts and updates in turn; what is kept are the tensors of actor and critics."""
        factory = checked_factory(who(), data["environment"])
        spaces = space_of(factory)
        seed = key(self.seed, "agent weights")
        with global_generators(seed):
            model = make_ppo(factory, self._unit, self.environments, self._ppo())
        source = generator(self.seed, "critics of an agent")
        critics = Critics(
            spaces["observations"], self.hidden, self.members, source,
            fixed_scale=self.fixed_scale, least_power=self.least_power,
        )  # fmt: skip
        Hook(model, critics, self._loss)
        returns = Returns()

        def step(k: int, source: Generator) -> dict[str, float]:
            # A rollout from fresh starts, and the update after it.
            seed, before = key(self.seed, "rollout", k), len(returns.rows)
            model.env.seed(seed % 2**31)
            with global_generators(seed):
                model.learn(self.environments * self.rollout, callback=returns.collect(model))
            if not all(bool(torch.isfinite(p).all()) for p in model.policy.parameters()):
                raise DivergedError("TDAgent.fit: the weights became NaN or infinite. Use a smaller lr.")
            ended = [found for _, found in returns.rows[before:]]
            if not ended:
                words = f"no episode ended within a rollout of {self.rollout} steps; use a longer rollout"
                tell(DataWarning, f"TDAgent.fit: {words}")
            return {"episodes": float(len(ended)), **({"return": sum(ended) / len(ended)} if ended else {})}

        parts = {"policy": model.policy, "optimizer": model.policy.optimizer, "returns": returns}
        rollouts = -(-self.steps // (self.environments * self.rollout))
        run.live("rollouts", parts, step, rollouts, every=5, log_every=1)
        model.env.close()
        return {
            "actor": _actor(model.policy),
            "critics": critics.tree(),
            "spaces": spaces,
            "returns": returns.table(),
        }

    @property
    def _unit(self) -> float:
        """What rewards are divided by: the size of a sum of discounted rewards."""
        horizon = self.rollout if self.gamma == 1 else min(self.rollout, 1 / (1 - self.gamma))
        return self.reward_scale * horizon

    def _ppo(self) -> dict[str, Any]:
        return {
            "n_steps": self.rollout,
            "batch_size": self.batch_size,
            "n_epochs": self.epochs,
            "learning_rate": self.lr,
            "gamma": self.gamma,
            "gae_lambda": self.trace,
            "clip_range": self.clip,
            "ent_coef": self.entropy,
            "policy_kwargs": {"net_arch": {"pi": list(self.hidden), "vf": [1]}},
        }

    # --- answers

    def columns(self, name: str) -> tuple[str, ...]:
        """Names of actions and of what is assessed."""
        width = self.state["spaces"]["width"] if self.is_fitted else 1
        actions = ("action",) if width == 1 else tuple(f"action_{i}" for i in range(width))
        return {"action": actions, "assessment": ASSESSED}.get(name, ())

    @property
    def returns(self) -> Tensor:
        """``(episodes, 2)``: steps before the end of each episode of the training, and its undiscounted return."""
        found: Tensor = self.fitted_state("returns")["returns"]
        return found

    @capability(reads={"observation": Role(name="observation")}, like="action", blocks=True)
    def act(self, observation: Tensor) -> Tensor:
        """The likeliest action in each state.

        Args:
            observation: ``(B, D)``.

        Returns:
            ``(B, 1)`` numbers of actions, or ``(B, A)`` actions within their bounds.
        """
        actor, spaces = self.state["actor"], self.state["spaces"]
        h = self._observed(observation)
        for number_, (weight, bias) in enumerate(zip(actor["weights"], actor["biases"], strict=True)):
            h = (torch.tanh(h) if number_ else h) @ weight.T + bias
        if spaces["discrete"]:
            return h.argmax(1, keepdim=True).to(h.dtype)
        return torch.minimum(torch.maximum(h, spaces["low"]), spaces["high"])

    @capability(reads={"x": Role(name="x")}, like="assessment", blocks=True)
    def assess(self, x: Tensor) -> Tensor:
        """What the critics say of states.

        Args:
            x: Observations ``(B, D)``.

        Returns:
            ``(B, 4)``: value, standard deviation of its error by the law, standard deviation over the ensemble, power
            of the law; in units of the reward but for the last.
        """
        heads = Critics.of(self.state["critics"])(self._observed(x))
        return assessed(heads, self._loss, self._unit)

    def _observed(self, x: Tensor) -> Tensor:
        width = self.state["spaces"]["observations"]
        if x.ndim != 2 or x.shape[1] != width:
            rule = f"observations must be rows of {width} numbers"
            raise invalid(rule, tuple(x.shape))
        return x.float()


def check_members(members: int, agreement: float) -> None:
    """Refuse weights by agreement where nobody can agree.

    Raises:
        InvalidInputError: If a single critic shall be weighed by its agreement.
    """
    if members < 2 and agreement > 0:
        raise invalid("members must be 2 or more for agreement > 0", members, "Use agreement = 0.")


def checked_factory(who: str, given: Any) -> Factory:
    """A function that makes an environment.

    Raises:
        InvalidInputError: If it is neither such a function nor a name.
    """
    if isinstance(given, str):
        return NoisyControl(given, noise=0.0)
    if not callable(given):
        rule = "environment must be a function without arguments that makes one, or its name"
        remedy = "Each copy needs an environment of its own: pass lambda: gymnasium.make(...)."
        raise errors.invalid(who, rule, type(given).__name__, remedy)
    made: Factory = given
    return made


def space_of(factory: Factory) -> dict[str, Any]:
    """Width of observations, and what actions there are.

    Raises:
        InvalidInputError: If it makes no environment, one and the same each time, or a space is of another kind.
    """
    gymnasium = require("gymnasium", by="TDAgent")
    try:
        world = factory()
        again = factory()
    except (TypeError, gymnasium.error.Error) as error:
        remedy = "For example, use lambda: gymnasium.make('CartPole-v1'), or the name 'CartPole-v1'."
        rule = "environment must be a function without arguments that makes one, or its name"
        raise invalid(rule, str(error)[:200], remedy) from error
    if not isinstance(world, gymnasium.Env):
        rule = "environment must make an environment of Gymnasium"
        raise invalid(rule, type(world).__name__, "Derive it from gymnasium.Env.")
    if world.unwrapped is again.unwrapped:
        remedy = "Make it inside the function: lambda: gymnasium.make(...)."
        raise invalid("environment must make a new one in each call", "the same object twice", remedy)
    again.close()
    seen, done = world.observation_space, world.action_space
    world.close()
    if not isinstance(seen, gymnasium.spaces.Box) or len(seen.shape) != 1:
        remedy = "Wrap it, e.g. with gymnasium.wrappers.FlattenObservation."
        raise invalid("observations must be a row of numbers", str(seen), remedy)
    found = {"observations": int(seen.shape[0]), "discrete": isinstance(done, gymnasium.spaces.Discrete)}
    if found["discrete"] and int(done.start) == 0:
        return {**found, "width": 1, "actions": int(done.n)}
    if isinstance(done, gymnasium.spaces.Box) and len(done.shape) == 1:
        low, high = (torch.as_tensor(bound, dtype=torch.float32) for bound in (done.low, done.high))
        return {**found, "width": int(done.shape[0]), "low": low, "high": high}
    raise invalid("actions must be one of a few, counted from 0, or a row of numbers", str(done))


def _actor(policy: Any) -> dict[str, Any]:
    """Weights of the network that gives logits or means of actions."""
    layers = [*policy.mlp_extractor.policy_net, policy.action_net]
    linear = [layer for layer in layers if isinstance(layer, torch.nn.Linear)]
    return {
        "weights": [layer.weight.detach().clone() for layer in linear],
        "biases": [layer.bias.detach().clone() for layer in linear],
    }
