"""Variational recurrent network with an encoder: what a network with adaptive vectors is compared with."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn

from interpolants.foundations.asked import invalid, who
from interpolants.foundations.kinds import Count, NonNegative
from interpolants.foundations.randomness import BLOCK, by_block, generator
from interpolants.framework.answers import Ensemble
from interpolants.framework.capabilities import capability
from interpolants.framework.series import listed
from interpolants.framework.stages import Run
from interpolants.methods.parts.series import over_time, up_to_last_value
from interpolants.nets.perceptron import Perceptron
from interpolants.sciml.processes.latent_recurrence import HIGH, LOW
from interpolants.sciml.processes.output_laws import OutputLaw
from interpolants.sciml.processes.predictive_model import SequenceBatches, Sequences
from interpolants.sciml.processes.series_network import SeriesNetwork
from interpolants.training.pairs import finished


class VariationalRNN(SeriesNetwork):
    """A recurrent network with latent noise and an encoder, which reads each value as it comes.

    ``p(z_t | h_{t-1})``, ``p(x_t | z_t, h_{t-1})``, ``h_t = GRU(x_t, z_t, h_{t-1})``, encoder
    ``q(z_t | x_t, h_{t-1})``::

        model = VariationalRNN(hidden=12, latent=1, output="bernoulli").fit(series)
        model.forecast(past, steps=6).mean

    Raises:
        InvalidInputError: If a setting is out of range, or when fitted, a value lies outside the range of the output.

    Source: Chung, Kastner, Dinh, Goel, Courville & Bengio (2015), arXiv:1506.02216.
    """

    hidden: Count = 12
    """Units of the state, and of the one hidden layer of prior, encoder and output."""
    latent: Count = 1
    """Latent units."""
    divergence: NonNegative = 1.0
    """Weight of the divergence from the prior; 1 is a bound of the likelihood."""

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """One gradient loop."""
        many = listed(data["series"])
        law = OutputLaw.of(many, self.output, self.limits, self.noise, self.bins)
        sequences = Sequences.of(many, law)
        net = _Network(len(law.shift), self.hidden, self.latent, law.width, self.seed)
        loss = _Loss(law, self.divergence, float(sequences.lengths.double().mean()))
        result = run.train("network", net, loss, SequenceBatches(sequences, self.batch_size), self.training())
        weights = {
            name: value.detach() for name, value in finished(net, result, prefix="").state_dict().items()
        }
        length = int(sequences.lengths.max())
        last = up_to_last_value(who(), many[-1])
        return {"weights": weights, "law": law.parts(), "length": length, "last": last}

    def _restored(self) -> tuple["_Network", OutputLaw]:
        law = OutputLaw(**self.state["law"])
        net = _Network(len(law.shift), self.hidden, self.latent, law.width, self.seed)
        net.load_state_dict(self.state["weights"])
        return net.requires_grad_(False), law

    @capability()
    def sample(self, n: Count, *, steps: Count | None = None, seed: int = 0, first_index: int = 0) -> Tensor:
        """Series from the prior, ``(n, T, C)`` in data units; values are drawn, since each depends on those before.

        Args:
            n: Number of series.
            steps: T; as long as the longest of the fit if not given.
            seed: Seed of the draws.
            first_index: Index of the first series in a larger job.
        """
        length = self.state["length"] if steps is None else steps
        net, law = self._restored()
        size = (BLOCK, length, self.latent + len(law.shift))
        eps = _normal(size, seed, "free generation of the rival", first_index, n)
        return _continued(net, law, torch.zeros(n, self.hidden, dtype=torch.float64), eps)[0]

    @capability(reads={"context": "series"}, like="context")
    def forecast(
        self, context: Any = None, *, members: Count = 20, steps: Count = 6, seed: int = 0
    ) -> Ensemble:
        """Members of what follows series of one length, ``(B, M, S, C)`` expected values in data units.

        Args:
            context: The series so far, one or several; the last of the fit if none is given. In gaps each member draws
                values of its own.
            members: M.
            steps: S.
            seed: Seed of the draws.
        """
        many = [self.state["last"]] if context is None else listed(context)
        if len({len(one) for one in many}) > 1:
            raise invalid("series must be of one length", sorted({len(one) for one in many}), "Ask for each.")
        net, law = self._restored()
        for one in many:
            law.check(one)
        past, count = len(many[0]), len(many)
        size = (BLOCK, members, past + steps, self.latent + len(law.shift))
        eps = _normal(size, seed, "members", 0, count).flatten(0, 1)
        y = torch.stack([law.encoded(one.values) * one.seen for one in many], 1).repeat_interleave(members, 1)
        seen = torch.stack([one.seen for one in many], 1).repeat_interleave(members, 1)
        if bool(seen.all()):
            h = net.read(y, eps[:, :past, : self.latent].transpose(0, 1))[0][-1]
        else:
            h = _over_gaps(net, law, y, seen, eps[:, :past].transpose(0, 1))
        x = _continued(net, law, h, eps[:, past:])[1].reshape(count, members, steps, -1)
        return over_time(x, many[0], many[0].after(steps))


class _Network(nn.Module):
    """Prior, encoder, output and recurrence."""

    def __init__(self, columns: int, hidden: int, latent: int, width: int, seed: int) -> None:
        super().__init__()
        self.latent = latent

        def part(inputs: int, outputs: int, k: int) -> Perceptron:
            return Perceptron(inputs, outputs, (hidden,), activation="tanh", seed=seed + k)

        self.prior, self.encoder = part(hidden, 2 * latent, 0), part(hidden + columns, 2 * latent, 1)
        self.out = part(hidden + latent, width, 2)
        self.cell: nn.GRUCell = torch.nn.utils.skip_init(  # type: ignore[no-untyped-call]
            nn.GRUCell, columns + latent, hidden
        )
        source, reach = generator(seed, "cell of a variational network"), hidden**-0.5
        with torch.no_grad():
            for weight in self.cell.parameters():
                weight.uniform_(-reach, reach, generator=source)
        self.double()

    def read(self, y: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """States before each step and behind the last, ``(T + 1, B, H)``, and draws, means and log deviations of z.

        Args:
            y: Encoded values, ``(T, B, C)``; 0 in gaps.
            eps: ``(T, B, Z)``.
        """
        h = y.new_zeros(y.shape[1], self.cell.hidden_size)
        states, latents = [h], []
        for value, noise in zip(y.unbind(0), eps.unbind(0), strict=True):
            mean, log_std = self.gaussian(self.encoder(torch.cat([h, value], 1)))
            z = torch.addcmul(mean, log_std.exp(), noise)
            h = self.cell(torch.cat([value, z], 1), h)
            states.append(h)
            latents.append(torch.stack([z, mean, log_std]))
        z, mean, log_std = torch.stack(latents, 1).unbind(0)
        return torch.stack(states), z, mean, log_std

    def bound(self, y: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        """Numbers of the output, ``(T, B, K)``, and the divergence of all latent units, ``(T, B)``."""
        states, z, mean, log_std = self.read(y, eps)
        prior = self.gaussian(self.prior(states[:-1]))
        gap = (mean - prior[0]).square() + (2 * log_std).exp()
        apart = prior[1] - log_std + gap / (2 * (2 * prior[1]).exp()) - 0.5
        return self.out(torch.cat([states[:-1], z], 2)), apart.sum(2)

    def gaussian(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log deviation."""
        return u[..., : self.latent], u[..., self.latent :].clamp(LOW, HIGH)


class _Loss:
    """Minus the bound of each series over its columns, per step of the mean length."""

    def __init__(self, law: OutputLaw, divergence: float, steps: float) -> None:
        self.law, self.divergence, self.steps = law, divergence, steps

    def __call__(self, net: Any, batch: Mapping[str, Tensor], generator: Generator) -> dict[str, Tensor]:
        """Both parts, ``(B,)``."""
        y, seen, within = batch["y"], batch["seen"], batch["within"]
        eps = torch.randn(*y.shape[:2], net.latent, dtype=y.dtype, generator=generator)
        out, apart = net.bound(y, eps)
        accuracy = torch.where(seen, self.law.log_prob(out, y), 0.0).mean(2).sum(0)
        complexity = (apart * within).sum(0) / y.shape[2]
        return {
            "misfit": -accuracy / self.steps,
            "complexity": self.divergence * complexity / self.steps,
        }


def _over_gaps(net: _Network, law: OutputLaw, y: Tensor, seen: Tensor, eps: Tensor) -> Tensor:
    """State ``(B, H)`` behind values ``(T, B, C)`` in whose gaps values of the network's own are drawn."""
    h = y.new_zeros(y.shape[1], net.cell.hidden_size)
    for value, here, noise in zip(y, seen, eps, strict=True):
        mean, log_std = net.gaussian(net.prior(h))
        drawn = mean + log_std.exp() * noise[:, : net.latent]
        made = law.encoded(law.drawn(net.out(torch.cat([h, drawn], 1)), noise[:, net.latent :]))
        value = torch.where(here, value, made)
        mean, log_std = net.gaussian(net.encoder(torch.cat([h, value], 1)))
        told = mean + log_std.exp() * noise[:, : net.latent]
        h = net.cell(torch.cat([value, torch.where(here.any(1, keepdim=True), told, drawn)], 1), h)
    return h


def _continued(net: _Network, law: OutputLaw, h: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
    """Drawn and expected values ``(B, S, C)`` from states, with noise ``(B, S, Z + C)``."""
    drawn, expected = [], []
    for noise in eps.unbind(1):
        mean, log_std = net.gaussian(net.prior(h))
        z = mean + log_std.exp() * noise[:, : net.latent]
        out = net.out(torch.cat([h, z], 1))
        made = law.drawn(out, noise[:, net.latent :])
        drawn.append(made)
        expected.append(law.mean(out))
        h = net.cell(torch.cat([law.encoded(made), z], 1), h)
    return torch.stack(drawn, 1), torch.stack(expected, 1)


def _normal(size: Sequence[int], seed: int, stream: str, first: int, count: int) -> Tensor:
    def draw(source: Generator) -> Tensor:
        return torch.randn(tuple(size), dtype=torch.float64, generator=source)

    return by_block(draw, seed, (stream,), first=first, count=count)
