"""The network against plain graphs and torch.distributions, its limits at w = 0, what may not move, and bad input."""

import re

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import interpolants
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.series import Series
from interpolants.sciml.processes import PVRNN
from interpolants.sciml.processes.error_regression import ErrorRegression, RegressionSettings
from interpolants.sciml.processes.latent_recurrence import LatentRecurrence, Latents, Layer
from interpolants.sciml.processes.output_laws import OutputLaw
from interpolants.sciml.processes.predictive_model import MetaPrior, PredictiveModel, Sequences, TrainingLoss
from interpolants.sciml.processes.problems.symbol_skeletons import stochastic_skeleton

F64 = torch.float64
TWO = ({"d": 5, "z": 2, "tau": 1.5}, {"d": 3, "z": 1, "tau": (4.0, 4.0, 8.0)})
FORMS = [("hidden", True), ("hidden", False), ("free", True)]
forms = pytest.mark.parametrize(("posterior", "shared"), FORMS)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=F64, generator=seeded(seed))


def network(posterior="hidden", shared=True):
    return LatentRecurrence([Layer(5, 2, 1.5), Layer(3, 1, (4.0, 4.0, 8.0))], posterior, shared, seeded())


def law(kind="linear", columns=1, **more):
    one = torch.ones(columns, dtype=F64)
    return OutputLaw(kind, 0 * one, one, **{"noise": 0.5, "bins": 5, **more})


def plain(net, start, a, eps):
    """The same steps layer by layer, as the page has them, in a plain graph."""
    mix, bias, into = net.weights
    units, latent = net.units, net.latent
    d_at = [sum(units[:k]) for k in range(len(units))]
    z_at = [sum(latent[:k]) for k in range(len(latent))]
    place = net.first_of_posterior
    h, out = [start[:, f : f + n] for f, n in zip(d_at, units, strict=True)], []
    for t in range(len(a)):
        d, new = torch.cat([x.tanh() for x in h], 1), []
        for k in range(len(units)):
            rows, cols = slice(d_at[k], d_at[k] + units[k]), slice(z_at[k], z_at[k] + latent[k])

            def head(base, k=k, cols=cols, d=d):
                rows = slice(base + cols.start, base + cols.stop)
                own = slice(d_at[k], d_at[k] + units[k])
                return d[:, own] @ mix[rows, own].T + bias[rows]

            mu, s = a[t][:, cols], a[t][:, net.z + cols.start : net.z + cols.stop]
            if not net.free:
                mu, s = mu + head(place), s + head(place + net.z)
            z = mu.tanh() + s.clamp(-8, 4).exp() * eps[t][:, cols]
            current = bias[rows] + z @ into[rows, cols].T
            for j in {k - 1, k, k + 1} & set(range(len(units))):
                seen = slice(d_at[j], d_at[j] + units[j])
                current = current + d[:, seen] @ mix[rows, seen].T
            rate = net.rates[rows]
            new.append((1 - rate) * h[k] + rate * current)
        h = new
        out.append(torch.cat(h, 1))
    return torch.stack(out)


# --- the mathematics


@forms
def test_states_and_their_derivatives_are_those_of_a_plain_graph_layer_by_layer(posterior, shared):
    net = network(posterior, shared)
    start, a, eps, weight = (
        normal(3, 8),
        2 * normal(6, 3, 6, seed=1),
        normal(6, 3, 3, seed=2),
        normal(6, 3, 8, seed=3),
    )
    a[0, 0, 4] = 6.0  # a log deviation beyond the clamp
    leaves = [start, a, net.mix, net.bias, net.into]
    for leaf in leaves:
        leaf.requires_grad_()
    ours = net.inferred(start, a, eps)[0]
    theirs = plain(net, start, a, eps)
    assert_close(ours, theirs)
    found = torch.autograd.grad((ours * weight).sum(), leaves)
    expected = torch.autograd.grad((theirs * weight).sum(), leaves)
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other)
        assert float(other.abs().max()) > 1e-3


@forms
def test_derivatives_through_prior_and_posterior_too(posterior, shared):
    net = network(posterior, shared)
    start, a, eps = normal(2, 8), normal(3, 2, 6, seed=1), normal(3, 2, 3, seed=2)

    def divergence(start, a, mix, bias, into):
        values = {"net.mix": mix, "net.bias": bias, "net.into": into}
        return torch.func.functional_call(Divergence(net), values, (start, a, eps))

    leaves = [x.detach().requires_grad_() for x in (start, a, net.mix, net.bias, net.into)]
    assert torch.autograd.gradcheck(divergence, leaves)


class Divergence(torch.nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, start, a, eps):
        h, u = self.net.inferred(start, a, eps)
        return h.sum(), self.net.latents(u, a, begins=True).divergence()


def test_the_divergence_is_that_of_torch_distributions():
    parts = [normal(4, 3, 2, seed=k) for k in range(4)]
    own = torch.distributions.Normal(parts[2], parts[3].exp())
    prior = torch.distributions.Normal(parts[0], parts[1].exp())
    expected = torch.distributions.kl_divergence(own, prior)
    assert_close(Latents(*parts).divergence(), expected, atol=1e-10, rtol=1e-10)


def test_the_prior_of_the_first_step_is_standard_normal_and_of_later_ones_that_of_the_state():
    net = network()
    h, u = net.inferred(normal(2, 8), normal(3, 2, 6, seed=1), normal(3, 2, 3, seed=2))
    first, later = (net.latents(u, normal(3, 2, 6, seed=1), begins=begins) for begins in (True, False))
    assert not first.prior_mean[0].any()
    assert not first.prior_log_std[0].any()
    assert_close(first.prior_mean[1:], later.prior_mean[1:])
    mix, bias, _ = net.weights
    assert_close(later.prior_mean[1], (h[0].tanh() @ mix[8:11].T + bias[8:11]).tanh())


def test_the_prior_alone_is_the_posterior_with_vectors_at_zero():
    net, start, eps = network(), normal(2, 8), normal(5, 2, 3, seed=2)
    made, log_std = net.generated(start, eps, begins=False)
    found, u = net.inferred(start, torch.zeros(5, 2, 6, dtype=F64), eps)
    assert_close(made, found)
    assert_close(log_std, net.latents(u, torch.zeros(5, 2, 6, dtype=F64), begins=False).log_std)


def test_the_noise_free_jacobian_is_that_of_automatic_differentiation():
    net, h = network(), normal(1, 8)
    after, slope = net.noise_free(h)
    assert_close(after, net.generated(h, torch.zeros(1, 1, 3, dtype=F64), begins=False)[0][0])
    mix, bias, into = (x.detach() for x in net.weights)

    def step(x):
        u = x.tanh() @ mix.T + bias
        return torch.lerp(x, u[:8] + u[8:11].tanh() @ into.T, net.rates)

    assert_close(slope[0], torch.autograd.functional.jacobian(step, h[0]))


def test_log_deviations_are_held_between_their_bounds():
    far = torch.full((1, 1, 6), 1e3, dtype=F64)
    net = network("free")
    _, u = net.inferred(normal(1, 8), far, normal(1, 1, 3))
    assert float(net.latents(u, far, begins=False).log_std.max()) == 4.0
    assert float(net.latents(u, -far, begins=False).log_std.min()) == -8.0


def test_a_huge_time_constant_freezes_a_layer():
    net = LatentRecurrence([Layer(4, 1, 1.0), Layer(3, 1, 1e5)], "hidden", True, seeded())
    start = normal(2, 7)
    h = net.inferred(start, normal(20, 2, 4), normal(20, 2, 2, seed=1))[0].detach()
    assert (
        float((h[-1, :, 4:] - start[:, 4:]).abs().max())
        < 5e-3
        < float((h[-1, :, :4] - start[:, :4]).abs().max())
    )


def test_w_counts_over_columns_and_latent_units_of_a_layer_and_at_the_first_step_by_itself():
    prior = MetaPrior((0.5, 2.0), (0.1, 0.0))
    expected = torch.tensor([[0.05, 0.05, 0.0], [0.25, 0.25, 2.0]], dtype=F64)
    assert_close(prior.weights(2, (2, 1), begins=True), expected)
    assert_close(prior.weights(2, (2, 1), begins=False), expected[1:].expand(2, -1))
    model = PredictiveModel([Layer(5, 2), Layer(3, 1)], "hidden", True, law(columns=4), 0)
    y, seen = normal(3, 2, 4), torch.ones(3, 2, 4, dtype=torch.bool)
    seen[1, 0, 2] = False
    bound = model.bound(
        torch.zeros(2, 8, dtype=F64), normal(3, 2, 6), normal(3, 2, 3), y, seen, prior, begins=False
    )
    each = bound.latents.divergence()
    assert_close(bound.complexity, 0.25 * each[..., :2].sum(2) + 2.0 * each[..., 2])
    log_prob = torch.distributions.Normal(bound.out, 0.5).log_prob(y)
    assert_close(bound.accuracy, (log_prob * seen).sum(2) / 4)


# --- outputs


@pytest.mark.parametrize("kind", ["linear", "tanh", "bernoulli", "bins"])
def test_outputs_draw_what_their_mean_says(kind):
    one, out = law(kind), normal(1, 5 if kind == "bins" else 1).expand(40_000, -1)
    drawn = one.drawn(out, normal(40_000, 1, seed=1))
    error = float(drawn.std()) / 200
    assert float((drawn.mean() - one.mean(out)[0, 0]).abs()) < 4 * error + 1e-12
    assert float(drawn.std()) > 0.1


def test_log_probabilities_of_symbols_and_bins_are_those_of_torch():
    y = torch.tensor([[0.0], [1.0]], dtype=F64)
    out = normal(2, 1)
    assert_close(law("bernoulli").log_prob(out, y), torch.distributions.Bernoulli(logits=out).log_prob(y))
    out, values = normal(3, 5), torch.tensor([[-1.0], [0.5], [0.25]], dtype=F64)
    each = out.log_softmax(1)
    expected = torch.stack([each[0, 0], each[1, 3], (each[2, 2] + each[2, 3]) / 2])
    assert_close(law("bins").log_prob(out, values)[:, 0], expected)


# --- learning


def test_without_the_divergence_every_training_series_is_reconstructed():
    x = stochastic_skeleton(length=12).sample(4, generator=seeded())
    model = PVRNN(output="bernoulli", posterior="free", meta_prior=0.0, steps=300, lr=3e-2).fit(x)
    assert float(model.inferred().misfit.max()) < 0.05
    assert all(float((a - b).abs().max()) < 0.2 for a, b in zip(model.reconstruct(), x, strict=True))


def test_vectors_behind_the_last_value_have_no_gradient_without_the_divergence():
    y = normal(2, 7, 1)
    seen = torch.ones(2, 7, 1, dtype=torch.bool)
    seen[0, 4:] = False
    model = PredictiveModel([Layer(5, 2)], "hidden", True, law(), 0)
    for w, moves in ((0.0, False), (0.5, True)):
        a = normal(7, 2, 4, seed=1).requires_grad_()
        prior = MetaPrior((w,), (w,))
        start = torch.zeros(2, 5, dtype=F64)
        bound = model.bound(
            start, a, normal(7, 2, 2), y.transpose(0, 1), seen.transpose(0, 1), prior, begins=True
        )
        slope = torch.autograd.grad(bound.value.sum(), a)[0]
        assert bool((slope[4:, 0] != 0).any()) is moves
        assert bool((slope[:4, 0] != 0).all())
        assert bool((slope[:, 1] != 0).all())


def test_what_fills_up_shorter_series_changes_nothing():
    many = [normal(n, 2, seed=n) for n in (5, 8, 3)]
    series = [
        Series(values=x, seen=torch.ones_like(x).bool(), times=torch.arange(len(x), dtype=F64)) for x in many
    ]
    sequences = Sequences.of(series, law(columns=2))
    model = PredictiveModel([Layer(5, 2)], "hidden", True, law(columns=2), 0)
    vectors = torch.nn.Module()
    vectors.forward = lambda index: normal(8, 3, 4, seed=9)[:, index]
    loss = TrainingLoss(MetaPrior((0.5,), (0.5,)), 1.0)
    modules = torch.nn.ModuleDict({"model": model, "vectors": vectors})
    found = loss(modules, sequences.rows(torch.arange(3)), seeded(4))
    eps = normal(8, 3, 2, seed=4)
    for k, x in enumerate(many):
        alone = model.bound(
            torch.zeros(1, 5, dtype=F64), normal(8, 3, 4, seed=9)[: len(x), k : k + 1], eps[: len(x), k : k + 1],
            x[:, None], torch.ones(len(x), 1, 2, dtype=torch.bool), MetaPrior((0.5,), (0.5,)), begins=True,
        )  # fmt: skip
        assert_close(found["misfit"][k], -alone.accuracy.sum())
        assert_close(found["complexity"][k], alone.complexity.sum())


def test_nan_behind_the_end_is_the_end_and_a_list_of_unequal_arrays_is_the_same():
    many = [normal(n, 2, seed=n).numpy() for n in (9, 12, 10)]
    padded = np.full((3, 12, 2), np.nan)
    for k, x in enumerate(many):
        padded[k, : len(x)] = x
    one, other = (PVRNN(steps=5).fit(x) for x in (many, padded))
    assert one.state["data"]["lengths"].tolist() == [9, 12, 10]
    assert_close(one.state["vectors"], other.state["vectors"], rtol=0, atol=0)
    assert [len(x) for x in one.reconstruct()] == [9, 12, 10]


def test_vectors_of_series_outside_of_a_batch_do_not_move():
    x = stochastic_skeleton(length=8).sample(6, generator=seeded())
    common = {"output": "bernoulli", "batch_size": 2, "schedule": "constant", "weight_decay": 0.1}
    one, two = (PVRNN(steps=steps, **common).fit(x).state["vectors"] for steps in (1, 2))
    assert int((two != one).flatten(1).any(1).sum()) == 2  # nor by the momentum of the step before
    assert int((two != 0).flatten(1).any(1).sum()) > 2


def test_weight_decay_does_not_pull_vectors():
    x = stochastic_skeleton(length=8).sample(3, generator=seeded())
    strong = PVRNN(output="bernoulli", steps=1, warmup=0, optimizer="adamw", weight_decay=10.0).fit(x)
    weak = PVRNN(output="bernoulli", steps=1, warmup=0, optimizer="adamw", weight_decay=0.0).fit(x)
    assert_close(strong.state["vectors"], weak.state["vectors"], rtol=0, atol=0)
    assert not torch.equal(strong.state["weights"]["net.mix"], weak.state["weights"]["net.mix"])


# --- error regression


@pytest.fixture(scope="module")
def small():
    x = stochastic_skeleton(length=14).sample(8, generator=seeded())
    return PVRNN(output="bernoulli", window=6, iterations=4, steps=200).fit(x)


def test_a_slide_keeps_vectors_and_moments_of_the_steps_that_stay_and_begins_the_new_one_at_zero(small):
    settings = RegressionSettings(4, 6, 0.09)
    one = ErrorRegression(small.model, small._prior(), settings, [0, 1], seed=3)
    y = stochastic_skeleton(length=5).sample(2, generator=seeded(1)).transpose(0, 1)
    seen = torch.ones_like(y).bool()
    one.add(y[:4], seen[:4])
    one.improve()
    before, state = (
        one.vectors.detach().clone(),
        {k: v.clone() for k, v in one.optimizer.state["vectors"].items()},
    )
    start = small.model.net.inferred(one.start, before[:1], torch.zeros(1, 2, 1, dtype=F64))[0][0]
    one.add(y[4:], seen[4:])
    assert_close(one.vectors[:3], before[1:])
    assert not one.vectors[3].any()
    after = one.optimizer.state["vectors"]
    for name, value in state.items():
        assert_close(after[name][:3], value[1:])
        assert not after[name][3].any()
        assert value.any()
    assert after["step"].tolist() == [6.0, 6.0, 6.0, 0.0]
    assert_close(one.start, start)
    assert not one.begins


def test_one_iteration_is_that_of_adam_and_no_weight_moves(small):
    weights = {k: v.clone() for k, v in small.state["weights"].items()}
    y = stochastic_skeleton(length=4).sample(2, generator=seeded(1)).transpose(0, 1)
    one = ErrorRegression(small.model, small._prior(), RegressionSettings(4, 3, 0.05), [0, 1], seed=3)
    one.add(y, torch.ones_like(y).bool())
    noise = one._noise("error regression", (3, 4)).movedim(0, 2)
    a = torch.zeros(4, 2, 2, dtype=F64, requires_grad=True)
    adam = torch.optim.Adam([a], lr=0.05)
    for eps in noise:
        adam.zero_grad()
        bound = small.model.bound(one.start, a, eps, y, one.seen, small._prior(), begins=True)
        (-bound.value.sum()).backward()
        adam.step()
    one.improve()
    assert_close(one.vectors.detach(), a.detach(), rtol=1e-6, atol=1e-9)
    assert_close(dict(small.state["weights"]), weights, rtol=0, atol=0)


def test_more_iterations_explain_the_window_better(small):
    x = stochastic_skeleton(length=10).sample(20, generator=seeded(2))
    y, seen = x.transpose(0, 1), torch.ones(10, 20, 1, dtype=torch.bool)
    found = []
    for count in (1, 10, 100):
        one = ErrorRegression(
            small.model, small._prior(), RegressionSettings(10, count, 0.09), range(20), seed=3
        )
        one.add(y, seen)
        one.improve()
        found.append(float(one.evidence(16).mean()))
    assert found[0] < found[1] < found[2]


def test_a_series_among_others_is_forecast_as_alone_and_series_of_other_lengths_may_come_along(small):
    x = stochastic_skeleton(length=10).sample(5, generator=seeded(2)).numpy()
    every = small.forecast(list(x), members=3, steps=2).x
    assert_close(small.forecast(list(x[:2]), members=3, steps=2).x, every[:2], rtol=1e-9, atol=1e-9)
    mixed = [x[0], x[1][:8], x[2], x[3][:8]]
    found = small.forecast(mixed, members=3, steps=2)
    assert_close(found.x[::2], every[:4:2], rtol=1e-9, atol=1e-9)
    assert found.times.tolist() == [1, 2]


def test_without_iterations_nothing_of_a_series_but_its_length_counts(small):
    x = stochastic_skeleton(length=10).sample(2, generator=seeded(2))
    one, other = (small.forecast(part, iterations=0, members=4, steps=3).x for part in (x, 1 - x))
    assert_close(one, other)
    told = small.forecast(x, iterations=20, members=4, steps=3).x
    assert not torch.allclose(one, told)
    generated = small.generate(64, steps=13).mean
    assert generated.shape == (64, 13, 1)


def test_a_session_that_is_fed_all_at_its_window_agrees_with_a_forecast_in_what_it_knows(small):
    x = stochastic_skeleton(length=9).sample(1, generator=seeded(5))[0]
    session = small.follow(members=8, steps=3, iterations=10)
    first = session.ahead[0]
    told = [session.feed(frame) for frame in x]
    assert len(session) == 9
    assert len(session.regression) == 6
    assert_close(told[0].expected, first)
    assert_close(told[3].expected, told[2].ahead[0])
    assert told[-1].members.shape == (8, 3, 1)
    chance = told[2].members[:, 0, 0]
    seen = chance if float(x[3, 0]) else 1 - chance
    assert told[3].surprise == pytest.approx(-float(seen.mean().log()), rel=1e-6)
    gap = session.feed(float("nan"))
    assert gap.surprise == 0.0


def test_surprise_is_that_of_values_in_their_own_units():
    x = normal(4, 8, 1, seed=3).cumsum(1)
    told = []
    for unit in (1, 8):
        session = (
            PVRNN(output="linear", window=4, iterations=2, steps=2).fit(unit * x).follow(members=4, steps=1)
        )
        told.append([session.feed(unit * frame).surprise for frame in x[0]])
    assert told[1] == pytest.approx([one + np.log(8) for one in told[0]])


@pytest.mark.slow
def test_a_session_is_less_surprised_than_the_prior_is():
    x = stochastic_skeleton(length=18).sample(26, generator=seeded())
    model = PVRNN(output="bernoulli", window=9, iterations=20, steps=600).fit(x[:20])
    surprise = {}
    for count in (0, 20):
        sessions = [model.follow(iterations=count, members=16, steps=1) for _ in x[20:]]
        surprise[count] = np.mean(
            [s.feed(f).surprise for s, one in zip(sessions, x[20:], strict=True) for f in one][6:]
        )
    assert surprise[20] < 0.8 * surprise[0]


@pytest.mark.slow
def test_registered_series_have_vectors_and_the_network_stays_as_it_was(small):
    new = stochastic_skeleton(length=20).sample(2, generator=seeded(7))
    with pytest.raises(InvalidInputError, match=r"ids must be 0 ... 7, got 8. Call register_sequences"):
        small.reconstruct([8])
    known = small.register_sequences([new[0], new[1][:11]], iterations=200)
    assert [len(one) for one in known.reconstruct()] == [14] * 8 + [20, 11]
    assert_close(known.reconstruct([8])[0].round(), new[0])
    assert len(small.state["vectors"]) == 8
    assert_close(known.state["vectors"][:8, :14], small.state["vectors"])


def test_gaps_are_filled_and_what_was_seen_stays(small):
    x = stochastic_skeleton(length=12).sample(1, generator=seeded(3))[0].clone()
    free = stochastic_skeleton().free(x[None])[0]
    hidden = int((~free).nonzero()[5])
    truth = float(x[hidden, 0])
    x[hidden] = torch.nan
    found = small.complete(x.numpy(), members=10, iterations=150)
    assert_close(found.x[0, :, :hidden, 0], x[:hidden, 0].expand(10, -1))
    assert abs(float(found.mean[0, hidden, 0]) - truth) < 0.3


def test_exponents_are_those_of_the_jacobians_along_a_path(small):
    found = small.exponents(steps=300)
    assert found.exponents.shape == (12,)
    assert found.mismatch < 1e-6


# --- bad input


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"layers": [{}, {"z": 0}]}, "PVRNN (layer 1) (in Layer): z must be a whole number >= 1, got 0"),
        ({"layers": []}, "layers must be a list of tables"),
        ({"layers": [{"dd": 1}]}, "every argument must be a setting, got 'dd'. Did you mean 'd'"),
        ({"layers": [{"d": 3, "tau": [1.0, 2.0]}]}, "tau must be one number, or one for each of 3 units"),
        ({"meta_prior": [0.1, 0.2]}, "meta_prior must be one number, or one for each of 1 layers"),
        ({"limits": (1.0, 1.0)}, "the second limit must be"),
    ],
)
def test_bad_settings_are_refused(settings, told):
    with pytest.raises(InvalidInputError, match=re.escape(told)):
        PVRNN(**settings)


@pytest.mark.parametrize(
    ("output", "value", "told"),
    [
        ("tanh", 1.5, r"values must lie in \[-1, 1\] for output='tanh', got 1.5"),
        ("bins", -2.0, r"values must lie in \[-1, 1\] for output='bins', got -2.0"),
        ("bernoulli", -0.5, r"values must lie in \[0, 1\] for output='bernoulli', got -0.5"),
    ],
)
def test_values_outside_of_the_output_are_refused(output, value, told):
    x = torch.full((3, 14, 1), 0.5, dtype=F64)
    x[1, 2] = value
    with pytest.raises(InvalidInputError, match=told):
        PVRNN(output=output).fit(x)


def test_bad_requests_are_refused(small):
    x = stochastic_skeleton(length=14).sample(2, generator=seeded())
    with pytest.raises(
        InvalidInputError, match="window must be at most the 5 observed steps of series 0, got 6"
    ):
        small.forecast(x[:, :5])
    with pytest.raises(InvalidInputError, match="series must have 1 columns, got 2"):
        small.forecast(torch.zeros(1, 14, 2, dtype=F64))
    with pytest.raises(InvalidInputError, match=r"Session.feed: values must lie in \[0, 1\]"):
        small.follow().feed(2.0)
    with pytest.raises(InvalidInputError, match="a frame must be 1 finite numbers"):
        small.follow().feed([0.0, 1.0])
    start, vectors, y = torch.zeros(2, 12, dtype=F64), torch.zeros(14, 2, 2, dtype=F64), x.transpose(0, 1)
    mask, eps = torch.ones(14, 1, 1, dtype=torch.bool), normal(14, 2, 1)
    with pytest.raises(InvalidInputError, match="seen must be a mask of the shape of the values"):
        small.model.bound(start, vectors, eps, y, mask, small._prior(), begins=True)
    with pytest.raises(InvalidInputError, match="warm_start must continue with the same data"):
        PVRNN(output="bernoulli", steps=2).fit(x).fit(x[:1], warm_start=True)
    with pytest.raises(InvalidInputError, match="column 0 is constant"):
        PVRNN().fit(torch.ones(3, 14, 1, dtype=F64))
    with pytest.raises(InvalidInputError, match="some values of series 1 must be seen"):
        PVRNN(output="bernoulli").fit(torch.cat([x[:1], x[:1] * torch.nan]))


def test_saved_and_loaded_it_follows_as_before(small, tmp_path):
    back = interpolants.load(small.save(tmp_path / "model"))
    for frame in (1.0, 0.0):
        told = [one.follow(iterations=3).feed(frame).ahead for one in (small, back)]
        assert_close(*told, rtol=0, atol=0)


def test_a_frame_with_names_is_read_by_them():
    pandas = pytest.importorskip("pandas")
    x = torch.randn(2, 10, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).numpy()
    tables = [pandas.DataFrame(one, columns=["a", "b"]) for one in x]
    model = PVRNN(steps=2, window=4, iterations=1).fit(tables, progress=False)
    plain = model.follow().feed(x[0, 0])
    for frame in ({"b": x[0, 0, 1], "a": x[0, 0, 0]}, tables[0].iloc[0][["b", "a"]], tables[0].iloc[:1]):
        assert model.follow().feed(frame).surprise == plain.surprise
    with pytest.raises(InvalidInputError, match="a frame must have a, b, got no 'b'"):
        model.follow().feed({"a": 1.0, "c": 2.0})
