"""Priors that are learnt from tasks, against tasks whose prior is known."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import FitWarning
from interpolants.sciml import HierarchicalGaussian, TaskPosterior
from interpolants.sciml.bayes.data.sine_line import load_sine_line
from interpolants.sciml.bayes.episodes import Groups
from interpolants.sciml.bayes.first_order_maml import FirstOrderMAML
from interpolants.sciml.bayes.linear_evidence import LinearEvidence
from interpolants.sciml.bayes.local_solutions import Descent, evidence, jacobian, losses
from interpolants.sciml.bayes.nets.weight_vectors import WeightVectors
from interpolants.sciml.bayes.per_task_ridge import PerTaskRidge
from interpolants.sciml.bayes.task_posterior import in_units, net_of

DOUBLE = {"dtype": torch.float64}
MEAN = torch.tensor([1.0, -0.5, 0.3, 2.0], **DOUBLE)
VARIANCE = torch.tensor([0.25, 1.0, 0.36, 0.49], **DOUBLE)
NOISE = 0.5


def linear_tasks(tasks, rows, seed, correlation=0.0):
    g = torch.Generator().manual_seed(seed)
    shape = correlation * torch.ones(4, 4, **DOUBLE) + (1 - correlation) * torch.eye(4, **DOUBLE)
    factor = torch.linalg.cholesky(VARIANCE.sqrt()[:, None] * shape * VARIANCE.sqrt())
    theta = MEAN + torch.randn(tasks, 4, generator=g, **DOUBLE) @ factor.T
    x = torch.randn(tasks, rows, 4, generator=g, **DOUBLE)
    y = (x @ theta[..., None])[..., 0] + NOISE * torch.randn(tasks, rows, generator=g, **DOUBLE)
    return x, y, factor @ factor.T


def test_losses_are_those_of_normal_errors_without_their_constant(generator):
    w, x, y = (torch.randn(*shape, generator=generator, **DOUBLE) for shape in ((2, 3), (2, 5, 3), (2, 5)))
    noise = torch.tensor(0.3, **DOUBLE)
    told = Normal((x @ w[..., None])[..., 0], noise.sqrt()).log_prob(y).sum(1)
    found = losses(lambda w, x: x @ w[..., None], w, x, y, noise)
    assert_close(found, -told - 2.5 * math.log(2 * math.pi))


def fitted(correlation=0.0):
    x, y, covariance = linear_tasks(2000, 6, 0, correlation)
    labels = torch.arange(2000).repeat_interleave(6)
    model = HierarchicalGaussian(hidden=(), steps=500, batch_size=100, lr=0.1, rows=6)
    return model.fit(x.flatten(0, 1), y.flatten(), labels), covariance


def in_data_units(model):
    """Mean and variance of the coefficients of the columns, which the model learns in standard units."""
    state = model.state
    scale = state["y_scale"] / state["x_scale"] / 2  # layers of four inputs are divided by 2
    return state["mean"][:4] * scale, state["log_s"].exp()[:4] * scale**2


def oracle(x, y, new_x, new_y, covariance):
    """Log density per row under the true prior."""
    gain = x @ covariance @ x.T + NOISE**2 * torch.eye(len(x), **DOUBLE)
    across = new_x @ covariance @ x.T
    mean = new_x @ MEAN + across @ torch.linalg.solve(gain, y - x @ MEAN)
    spread = (new_x @ covariance * new_x).sum(1) - (across * torch.linalg.solve(gain, across.T).T).sum(1)
    return torch.distributions.Normal(mean, (spread + NOISE**2).sqrt()).log_prob(new_y).mean()


def compared(model, covariance, correlation=0.0):
    """Mean log density per row of new tasks: the model, the oracle, and ridge regression of the task alone."""
    x, y, _ = linear_tasks(200, 12, 1, correlation)
    found = []
    for k in range(200):
        few, rest = slice(6), slice(6, 12)
        ours = model.adapt(x[k, few], y[k, few]).predict(x[k, rest]).log_prob(y[k, rest, None]).mean()
        alone = (
            LinearEvidence().fit(x[k, few], y[k, few]).predict(x[k, rest]).log_prob(y[k, rest, None]).mean()
        )
        found.append(
            torch.stack([ours, oracle(x[k, few], y[k, few], x[k, rest], y[k, rest], covariance), alone])
        )
    return torch.stack(found).mean(0).tolist()


@pytest.mark.slow
def test_of_linear_tasks_it_learns_mean_and_spread_and_predicts_as_one_who_knows_them():
    model, covariance = fitted()
    mean, variance = in_data_units(model)
    assert bool(((mean - MEAN).abs() < 0.05).all())
    assert bool(((variance / VARIANCE - 1).abs() < 0.15).all())
    assert_close(model.noise_std, NOISE, rtol=0.03, atol=0)
    ours, best, alone = compared(model, covariance)
    assert abs(ours - best) < 0.02
    assert ours > alone + 0.1
    # One regression for all tasks has the spread of the tasks for its error.
    x, y, _ = linear_tasks(200, 12, 1)
    pooled = LinearEvidence().fit(x.flatten(0, 1), y.flatten())
    assert ours > float(pooled.predict(x.flatten(0, 1)).log_prob(y.reshape(-1, 1)).mean()) + 0.1


@pytest.mark.slow
def test_correlations_between_weights_are_not_learnt_and_cost_what_they_should():
    """A diagonal S is 0.042 nats per row behind at correlation 0.5, by an independent computation."""
    model, covariance = fitted(0.5)
    ours, best, _ = compared(model, covariance, 0.5)
    assert 0.02 < best - ours < 0.09


def test_the_loss_is_the_marginal_likelihood_of_the_linearised_network():
    net = WeightVectors(inputs=2, outputs=1, hidden=(3,))
    g = torch.Generator().manual_seed(0)
    mean, log_s = torch.randn(2, net.count, generator=g, **DOUBLE)
    prior = {"mean": mean, "log_s": log_s, "log_noise": torch.tensor(-1.0, **DOUBLE)}
    x, y = torch.randn(2, 4, 2, generator=g, **DOUBLE), torch.randn(2, 4, generator=g, **DOUBLE)
    for k in range(2):
        slope = torch.autograd.functional.jacobian(lambda w, k=k: net(w[None], x[k])[0, :, 0], mean)
        assert_close(jacobian(net, mean, x[k]), slope)
        covariance = slope @ log_s.exp().diag() @ slope.T + math.exp(-1) * torch.eye(4, **DOUBLE)
        value = net(mean[None], x[k])[0, :, 0]
        assert_close(evidence(net, prior, x, y)[k], MultivariateNormal(value, covariance).log_prob(y[k]))


def test_a_task_without_hidden_layers_has_the_posterior_of_linear_regression():
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(6, 4, generator=g, **DOUBLE), torch.randn(6, generator=g, **DOUBLE)
    one = {"x_centre": torch.zeros(4, **DOUBLE), "x_scale": torch.ones(4, **DOUBLE)}
    prior = {
        "mean": torch.zeros(5, **DOUBLE),
        "log_s": torch.zeros(5, **DOUBLE),
        "log_noise": torch.tensor(-1.0, **DOUBLE),
    }
    prior |= one | {"y_centre": torch.zeros(1, **DOUBLE), "y_scale": torch.ones(1, **DOUBLE)}
    design = torch.cat([x / 2, torch.ones(6, 1, **DOUBLE)], 1)
    covariance = torch.linalg.inv(torch.eye(5, **DOUBLE) + math.e * design.T @ design)
    found = TaskPosterior(prior=prior, hidden=()).fit(x, y).predict(x)
    assert_close(found.mean, math.e * design @ covariance @ design.T @ y)
    assert_close(found.std, ((design @ covariance * design).sum(1) + math.exp(-1)).sqrt())
    # Descent that has arrived finds the same mean; its curvature is diagonal, so its spread is another.
    settings = {"local": "sgd", "inner_steps": 4000, "inner_lr": 0.5, "draws": 4000}
    other = TaskPosterior(prior={**prior, "log_s": prior["log_s"] + 30}, hidden=(), **settings).fit(x, y)
    least = design @ torch.linalg.lstsq(design, y).solution
    assert_close(other.predict(x).mean, least, atol=0.1, rtol=0)


def test_without_a_prior_a_network_learns_a_line_or_says_that_it_did_not():
    """Weights about zero have no slope but the last bias: answers were the mean of y, whatever the rows."""
    x = torch.linspace(-2, 2, 40, **DOUBLE)[:, None]
    y = 3 * x[:, 0] + 1
    left = {"gauss_newton": 0.2, "point": 0.3, "sgd": 0.7, "sgld": 0.5}
    for local, share in left.items():
        settings = {} if local == "gauss_newton" else {"inner_steps": 300, "inner_lr": 0.5}
        found = TaskPosterior(local=local, **settings).fit(x, y).predict(x).mean
        assert float((found.reshape(-1) - y).std() / y.std()) < share
    for local in ("point", "sgd", "sgld"):
        with pytest.warns(FitWarning, match="5 steps of descent without a prior leave 9.%"):
            TaskPosterior(local=local).fit(x, y)


def test_one_task_alone_is_refused():
    x, one = torch.randn(20, 1, **DOUBLE), torch.zeros(20, dtype=torch.long)
    for model in (HierarchicalGaussian(steps=1), FirstOrderMAML(steps=1)):
        with pytest.raises(InvalidInputError, match="at least 2 groups, got 1"):
            model.fit(x, x[:, 0], one)


def test_memory_of_a_step_does_not_grow_with_the_inner_steps():
    net = WeightVectors(inputs=1, outputs=1, hidden=(10,))
    g = torch.Generator().manual_seed(0)
    names = ("mean", "log_s", "log_noise")
    prior = {
        n: v.requires_grad_()
        for n, v in zip(names, torch.randn(3, net.count, generator=g, **DOUBLE), strict=True)
    }
    x, y = torch.randn(4, 6, 1, generator=g, **DOUBLE), torch.randn(4, 6, generator=g, **DOUBLE)
    prior["log_noise"] = torch.zeros((), **DOUBLE, requires_grad=True)

    def nodes(steps, noise):
        """Operations that the gradient of a step goes through."""
        m, v = Descent(steps, 0.1, noise=noise).posterior(net, prior, x, y, g)
        seen, left = set(), [m.grad_fn, v.grad_fn]
        while left:
            node = left.pop()
            if node is not None and node not in seen:
                seen.add(node)
                left += [parent for parent, _ in node.next_functions]
        return len(seen)

    for noise in (True, False):
        assert nodes(2, noise) == nodes(50, noise) < 30


def test_a_chain_that_hardly_moves_does_not_make_weights_certain():
    net = WeightVectors(inputs=1, outputs=1, hidden=(4,))
    prior = {"mean": torch.ones(net.count, **DOUBLE), "log_s": torch.zeros(net.count, **DOUBLE)}
    prior["log_noise"] = torch.zeros((), **DOUBLE)
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 6, 1, generator=g, **DOUBLE), torch.randn(2, 6, generator=g, **DOUBLE)
    m, v = Descent(5, 1e-12, noise=True).posterior(net, prior, x, y, g)
    assert_close(m, torch.ones_like(m), atol=1e-4, rtol=0)
    assert float(v.sqrt().min()) > 0.9e-3


@pytest.mark.slow
def test_sines_and_lines_are_learnt_from_five_rows():
    train, test = load_sine_line("train", tasks=500), load_sine_line("test", tasks=500)
    model = HierarchicalGaussian(steps=150).fit(train.x[:, :1], train.x[:, 1], train.labels)
    few = HierarchicalGaussian(steps=1).fit(train.x[:, :1], train.x[:, 1], train.labels)
    errors = {model: [], few: []}
    for own in Groups.of("test", test.labels, 6).rows[:40]:
        x, y = test.x[own, :1], test.x[own, 1]
        for one, found in errors.items():
            found.append((one.adapt(x[:5], y[:5]).predict(x[5:]).mean - y[5:]).square().mean())
    ours, untrained = (float(torch.stack(found).mean()) for found in errors.values())
    assert ours < 4 < 8 < untrained


def test_what_does_not_fit_is_refused():
    x = torch.zeros(6, 1)
    with pytest.raises(InvalidInputError, match="every group must have at least 2 rows, got 1"):
        HierarchicalGaussian().fit(x, x, torch.tensor([0, 0, 1, 1, 2, 3]))
    with pytest.raises(InvalidInputError, match=r"y \(N,\) or \(N, 1\)"):
        HierarchicalGaussian().fit(x, torch.zeros(6, 2), torch.zeros(6, dtype=torch.long))
    with pytest.raises(InvalidInputError, match=r"inner_steps must be a whole number >= 2.*local='sgd'"):
        HierarchicalGaussian(local="sgld", inner_steps=1)
    with pytest.raises(InvalidInputError, match="x must not be empty"):
        TaskPosterior().fit(torch.zeros(0, 1), torch.zeros(0, 1))


@pytest.mark.parametrize("named", [True, False])
def test_an_adaptation_knows_the_columns_of_its_rows(named):
    pandas = pytest.importorskip("pandas")
    g = torch.Generator().manual_seed(0)
    x = pandas.DataFrame(torch.randn(40, 2, dtype=torch.float64, generator=g).numpy(), columns=["a", "b"])
    y = (x["a"] + 10 * x["b"]).rename("out")
    rows = (x, y) if named else (x.to_numpy(), y.to_numpy())
    learner = PerTaskRidge().fit(*rows, [0, 1] * 20)
    task = learner.adapt(x[:8], y[:8])
    found = task.predict(x[8:])
    assert_close(torch.tensor(found.mean.to_numpy()), torch.tensor(y[8:].to_numpy()), atol=1e-3, rtol=0)
    assert task.predict(x[["b", "a"]][8:]).mean.tolist() == found.mean.tolist()
    assert list(found.mean.index) == list(range(8, 40))
    assert found.mean.name == "out"
    with pytest.raises(InvalidInputError, match="none named 'a'"):
        task.predict(x.rename(columns={"a": "c"}))


def test_a_noise_that_is_known_stays_and_is_that_of_the_task():
    x, y, labels = linear_data()
    known = HierarchicalGaussian(hidden=(), steps=30, noise=0.7).fit(x, y, labels)
    assert known.noise_std == pytest.approx(0.7, rel=1e-9)
    learnt = HierarchicalGaussian(hidden=(), steps=30).fit(x, y, labels)
    assert abs(learnt.noise_std - 0.7) > 1e-3
    task = known.adapt(x[:5], y[:5])
    apart = task.predict(x[:5]).std.square() - task.predict(x[:5], noise=False).std.square()
    assert_close(apart, torch.full_like(apart, 0.49), rtol=1e-6, atol=0)


@pytest.mark.parametrize("hidden", [(), (4,)])
def test_the_joint_prediction_of_a_task_is_the_conditional_of_its_gaussian(hidden):
    """``log p(y_new, y | prior) = log p(y | prior) + log p(y_new | y)`` for the network linearised at its mean."""
    x, y, labels = linear_data()
    model = HierarchicalGaussian(hidden=hidden, steps=10).fit(x, y, labels)
    prior, new, new_y = dict(model.state), x[40:46], y[40:46]
    task = model.adapt(x[:8], y[:8])
    net = net_of(model, x.shape[1])

    def log_density(rows, values):
        z, t = in_units(rows, prior, "x"), in_units(values[:, None], prior, "y")[:, 0]
        return evidence(net, prior, z[None], t[None])[0] - len(t) * prior["y_scale"][0].log()

    truth = log_density(torch.cat([x[:8], new]), torch.cat([y[:8], new_y])) - log_density(x[:8], y[:8])
    assert_close(task.predict(new, joint=True).log_prob(new_y), truth)
    functions = TaskPosterior(prior=prior, hidden=hidden, local="sgd", draws=7).fit(x[:8], y[:8])
    draws = functions.predict(new, noise=False, joint=True).sample(30)[..., 0]
    kinds = {round(float(one[0]), 6) for one in draws}
    assert len(kinds) <= 7  # whole networks


def linear_data():
    x, y, _ = linear_tasks(30, 6, 0)
    return x.flatten(0, 1), y.flatten(), torch.arange(30).repeat_interleave(6)
