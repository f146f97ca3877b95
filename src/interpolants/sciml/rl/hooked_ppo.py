"""Proximal policy optimisation of Stable-Baselines3 with an ensemble of critics in the place of its value network.

Nothing of the library's loop is copied. Three functions of its policy and one of its buffer are replaced: the policy
answers with the mean value of the critics, the buffer tells which returns a minibatch has, and the value that the
policy gives in a minibatch is such that the library's squared error has the gradient of the critics' loss.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from interpolants.foundations.errors import DivergedError
from interpolants.foundations.extras import require
from interpolants.sciml.rl.critic_loss import CriticLoss
from interpolants.sciml.rl.critics import Critics

Factory = Callable[[], Any]
# Largest norm of the gradient of one tensor of the critics. The library clips the gradients of actor and critics
# together, and a steep likelihood would leave the actor nothing; for Adam the size of a gradient means little.
_STEEPEST = 0.1


class Hook:
    """Critics in a policy that was made by Stable-Baselines3.

    Args:
        model: Its ``PPO``, without clipping of values.
        critics: The ensemble; its parameters join the policy and its optimizer.
        loss: Their loss.
    """

    def __init__(self, model: Any, critics: Critics, loss: CriticLoss) -> None:
        self.critics, self.loss, policy = critics, loss, model.policy
        self._forward, self._evaluate = policy.forward, policy.evaluate_actions
        self._batches = model.rollout_buffer.get
        self._returns: Tensor | None = None
        policy.add_module("critics", critics)
        for parameter in critics.parameters():
            parameter.register_hook(_clipped)  # type: ignore[no-untyped-call]
        policy.optimizer.add_param_group({"params": list(critics.parameters())})
        policy.forward, policy.evaluate_actions = self.forward, self.evaluate_actions
        policy.predict_values, model.rollout_buffer.get = self.values, self.batches

    def values(self, observation: Tensor) -> Tensor:
        """Mean value over the ensemble, ``(B, 1)``: advantages are linear in values, so theirs is the mean too."""
        found: Tensor = self.critics(observation.float()).value.mean(1, keepdim=True)
        return found

    def forward(self, observation: Tensor, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Actions, values, log probabilities."""
        actions, _, log_prob = self._forward(observation, deterministic)
        return actions, self.values(observation), log_prob

    def batches(self, batch_size: int | None = None) -> Iterator[Any]:
        """Minibatches of the buffer, whose returns are remembered while each is used."""
        for batch in self._batches(batch_size):
            self._returns = batch.returns
            yield batch
        self._returns = None

    def evaluate_actions(self, observation: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Values whose squared distance from the returns has the gradient of the loss, log probabilities, entropy.

        The distance is ``s = sqrt(1 + L - L0)`` with ``L0 = L`` held fixed: ``d s^2 = d L``.
        """
        _, log_prob, entropy = self._evaluate(observation, actions)
        assert self._returns is not None, "a minibatch is open"
        loss = self.loss(self.critics(observation.float()), self._returns[:, None])
        if not bool(torch.isfinite(loss)):
            raise DivergedError("TDAgent.fit: the loss of the critics is not finite. Use a smaller lr.")
        values = self._returns + (1 + loss - loss.detach()).sqrt()
        return values[:, None], log_prob, entropy


def _clipped(gradient: Tensor) -> Tensor:
    size: Tensor = gradient.norm()
    return gradient * (_STEEPEST / size.clamp(min=_STEEPEST))


class Returns:
    """Undiscounted returns of all finished episodes of a training, with the steps before their end."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, float]] = []
        self.steps = 0

    def collect(self, model: Any) -> Any:
        """A function for the library to call after every step of its environments."""

        def after(local: dict[str, Any], _: dict[str, Any]) -> bool:
            self.steps += len(local["infos"])
            self.rows += [(self.steps, float(i["episode"]["r"])) for i in local["infos"] if "episode" in i]
            return True

        return after

    def table(self) -> Tensor:
        """``(episodes, 2)``: steps and returns."""
        return torch.tensor(self.rows, dtype=torch.float64).reshape(-1, 2)

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints."""
        return {"rows": self.table(), "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.rows, self.steps = [(a, b) for a, b in state["rows"].tolist()], state["steps"]


def make_ppo(factory: Factory, unit: float, environments: int, settings: dict[str, Any]) -> Any:
    """The library's algorithm over copies of an environment whose rewards are divided by ``unit``.

    Returns of episodes are told in the environment's own unit.
    """
    require("stable_baselines3", by="TDAgent")
    gymnasium = require("gymnasium", by="TDAgent")
    from stable_baselines3 import PPO
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import DummyVecEnv

    def one() -> Any:
        return gymnasium.wrappers.TransformReward(Monitor(factory()), lambda reward: float(reward) / unit)

    worlds = DummyVecEnv([one for _ in range(environments)])
    return PPO("MlpPolicy", worlds, device="cpu", seed=None, verbose=0, clip_range_vf=None, **settings)
