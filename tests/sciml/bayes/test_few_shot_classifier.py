"""Heads of classifiers against gradients and quadrature, and few-shot learning of known classes."""

import copy
import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.sciml import FewShotClassifier, TaskClassifier
from interpolants.sciml.bayes import linear_heads
from interpolants.sciml.bayes.episodes import Groups
from interpolants.sciml.bayes.few_shot_classifier import ClassBatches, Learner

DOUBLE = {"dtype": torch.float64}


def rows(n=12):
    g = torch.Generator().manual_seed(0)
    z = torch.randn(2, n, 3, generator=g, **DOUBLE)
    labels = torch.randint(3, (2, n), generator=g)
    return z, labels, torch.tensor([1.0, 4.0, 0.5], **DOUBLE)


def test_at_the_mode_the_slope_is_zero_and_the_curvature_is_that_of_automatic_differentiation():
    z, labels, s = rows()
    theta, curvature = linear_heads.mode(z, labels, s, 3)

    def value(theta):
        return (
            linear_heads.loss(theta[None], z[:1], labels[:1])[0] + 0.5 * (theta.square() / s[:, None]).sum()
        )

    slope = torch.autograd.functional.jacobian(value, theta[0])
    assert float(slope.abs().max()) < 1e-3
    expected = torch.autograd.functional.hessian(value, theta[0]).reshape(9, 9)
    assert_close(curvature[0], expected, rtol=1e-6, atol=1e-8)


def test_the_divergence_is_that_of_torch():
    z, labels, s = rows()
    theta, precision = linear_heads.mode(z, labels, s, 3)
    normal = torch.distributions.MultivariateNormal
    ours = normal(theta[0].flatten(), precision_matrix=precision[0])
    prior = normal(torch.zeros(9, **DOUBLE), torch.diag(s.repeat_interleave(3)))
    assert_close(
        linear_heads.divergence(theta, precision, s)[0], torch.distributions.kl_divergence(ours, prior)
    )


def test_the_posterior_is_the_minimum_of_the_bound_which_the_mode_is_not():
    """Two classes that a line separates: the bound of q by its own draws, moved in scale and in mean."""
    z = torch.tensor([[[-1.0], [-0.5], [0.5], [1.0]]], **DOUBLE)
    labels, s = torch.tensor([[0, 0, 1, 1]]), torch.tensor([100.0], **DOUBLE)
    xi = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0), **DOUBLE)

    def bound(theta, precision):
        drawn = linear_heads._drawn(z, theta, torch.linalg.inv(precision), xi)
        log = torch.log_softmax(drawn, -1)[0].mean(1)
        return float(-log[torch.arange(4), labels[0]].sum() + linear_heads.divergence(theta, precision, s)[0])

    theta, precision = linear_heads.posterior(z, labels, s, 2, xi)
    best = bound(theta, precision)
    for scale in (0.8, 1.25):
        assert bound(theta, scale * precision) > best
        assert bound(scale * theta, precision) > best
    assert bound(*linear_heads.mode(z, labels, s, 2)) > best + 0.1


def test_episodes_show_the_images_of_a_class_in_one_of_the_eight_positions_of_a_square():
    x = torch.arange(36.0).reshape(4, 1, 3, 3)
    labels = torch.tensor([0, 0, 1, 1])
    batches = ClassBatches(x, Groups.of("test", labels, 2), (80, 2, 2))
    batches.symmetries = True
    seen = batches(0, torch.Generator().manual_seed(0), 0, 1)["x"].reshape(160, 2, 3, 3)

    def positions(image):
        return [torch.rot90(one, k) for one in (image, image.T) for k in range(4)]

    alike = [torch.stack(pair) for a, b in ((0, 1), (1, 0), (2, 3), (3, 2))
             for pair in zip(positions(x[a, 0]), positions(x[b, 0]), strict=True)]  # fmt: skip
    assert {tuple(one.flatten().tolist()) for one in seen} == {tuple(one.flatten().tolist()) for one in alike}


def test_the_nearest_centroid_has_the_posterior_of_gaussians_of_one_spread():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(12, 3, generator=g, **DOUBLE)
    y = torch.arange(12) % 3
    z = (x - x.mean(0)) / x.std(0)
    centres = torch.stack([z[y == k].mean(0) for k in range(3)])
    variance = torch.cat([z[y == k] - centres[k] for k in range(3)]).square().sum() / (3 * (12 - 3))
    law = torch.distributions.MultivariateNormal(centres, variance * torch.eye(3, **DOUBLE))
    wanted = law.log_prob(z[:, None]).softmax(1)
    assert_close(TaskClassifier(local="centroid").fit(x, y).predict(x), wanted, atol=1e-5, rtol=0)


def diagonal(columns, seed=0):
    """Two classes about (2, ..., 2) and (-2, ..., -2): the mean of a row is what tells them apart."""
    y = torch.arange(40) % 2
    source = torch.Generator().manual_seed(seed)
    return 0.3 * torch.randn(40, columns, generator=source) + (4.0 * y - 2)[:, None], y


@pytest.mark.parametrize("columns", [1, 2, 8])
def test_rows_as_they_are_keep_their_mean_and_size(columns):
    """Scaling each row to mean 0 and length 1, as the features of a network, left a guess of classes far apart."""
    (x, y), (new_x, new_y) = diagonal(columns), diagonal(columns, seed=1)
    plain = TaskClassifier().fit(x, y)
    learnt = FewShotClassifier(hidden=(), ways=2, shots=5, rows=10, steps=5).fit(x, y).adapt(x, y)
    for model in (plain, learnt):
        assert bool((model.predict(new_x).argmax(1) == new_y).all())


def test_rows_far_from_zero_are_told_apart():
    """Times in seconds since 1970: in single precision their differences were lost, and every answer a guess."""
    x, y = diagonal(2)
    far = x.double() + 1.7e9
    for local in ("bayes", "centroid"):
        assert bool((TaskClassifier(local=local).fit(far, y).predict(far).argmax(1) == y).all())
    learnt = FewShotClassifier(hidden=(), ways=2, shots=5, rows=10, steps=5).fit(far, y).adapt(far, y)
    assert bool((learnt.predict(far).argmax(1) == y).all())


def test_the_prior_s_variances_say_which_columns_may_tell_classes_apart():
    """Each column alone would separate the classes; the head may use the second one only, and is even on the first."""
    x = torch.tensor([[-1.0, -1.0], [-2.0, -2.0], [1.0, 1.0], [2.0, 2.0]], **DOUBLE)
    log_s = torch.tensor([1e-6, 30.0, 1e-6], **DOUBLE).log()
    prior = {"features": None, "units": {"centre": 0.0, "scale": 1.0}, "log_s": log_s, "outputs": 2}
    model = TaskClassifier(prior=prior).fit(x, torch.tensor([0, 0, 1, 1]))
    first, second = model.predict(torch.tensor([[3.0, 0.0], [0.0, 3.0]], **DOUBLE))
    assert_close(first, torch.full((2,), 0.5, **DOUBLE), atol=0.05, rtol=0)  # 200 draws
    assert float(second[1]) > 0.9


def test_descent_without_a_network_is_refused():
    with pytest.raises(InvalidInputError, match="moves a network of a prior"):
        TaskClassifier(local="descent").fit(*diagonal(2))


def test_one_row_of_each_class_makes_no_centroid_certain():
    """The variance about the mean of two rows is d^2 / 2F in a feature on average: odds of exp(F) at each of them."""
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0]], **DOUBLE)
    found = TaskClassifier(local="centroid").fit(x, torch.tensor([0, 1])).predict(x)
    right = math.exp(2) / (1 + math.exp(2))
    assert_close(found, torch.tensor([[right, 1 - right], [1 - right, right]], **DOUBLE), atol=1e-6, rtol=0)


def test_the_bound_is_that_of_an_episode_over_its_rows():
    """The prior's share is exact, that of the likelihood near the one at the mode, where the posterior is narrow."""
    g = torch.Generator().manual_seed(0)
    model = FewShotClassifier(ways=2, shots=2, rows=4, hidden=(5,), features=3)
    x, labels = torch.randn(1, 8, 4, generator=g), torch.arange(2).repeat_interleave(4)[None]
    learner = Learner(model._net(x[0]), 3)
    with torch.no_grad():
        learner.log_s.fill_(math.log(1e-8))
        found = model._bound(learner, {"x": x, "labels": labels}, g)["bound"]
    # With weights of nearly 0 by the prior, posterior and prior agree, and both classes have probability 1/2.
    assert_close(found, torch.full((1,), math.log(2), **DOUBLE), atol=1e-3, rtol=0)


def test_the_loss_of_maml_is_that_after_the_inner_steps_and_its_gradient_the_one_there():
    """First order: plain descent by hand on the first rows of each class, the loss and its gradient on the others."""
    g = torch.Generator().manual_seed(0)
    model = FewShotClassifier(
        ways=2, shots=2, rows=4, hidden=(5,), features=3, learn_by="maml", inner_steps=3
    )
    x, labels = torch.randn(1, 8, 4, generator=g), torch.arange(2).repeat_interleave(4)[None]
    learner = Learner(model._net(x[0]), 3)
    loss = model._after_descent(learner, {"x": x, "labels": labels}, g)["after_descent"]
    loss.sum().backward()
    net, head = copy.deepcopy(learner.net), torch.zeros(4, 2, requires_grad=True)
    weights = [*net.parameters(), head]

    def entropy(rows):
        z = linear_heads.with_ones(net(x[0, rows]), learnt=True) * 4**0.5
        return torch.nn.functional.cross_entropy(z @ head, labels[0, rows])

    seen, others = torch.tensor([0, 1, 4, 5]), torch.tensor([2, 3, 6, 7])
    for _ in range(3):
        slopes = torch.autograd.grad(entropy(seen), weights)
        with torch.no_grad():
            for weight, slope in zip(weights, slopes, strict=True):
                weight -= model.inner_lr * slope
    assert_close(loss[0], entropy(others))
    wanted = torch.autograd.grad(entropy(others), [*net.parameters()])
    for parameter, slope in zip(learner.net.parameters(), wanted, strict=True):
        assert_close(parameter.grad, slope, rtol=1e-4, atol=1e-6)


def blobs(classes, n, seed, spread=0.4):
    """Classes whose two telling columns are hidden among eight of noise."""
    g = torch.Generator().manual_seed(seed)
    centres = 2 * torch.randn(classes, 1, 2, generator=g)
    x = torch.cat(
        [
            centres + spread * torch.randn(classes, n, 2, generator=g),
            3 * torch.randn(classes, n, 8, generator=g),
        ],
        2,
    )
    return x.flatten(0, 1), torch.arange(classes).repeat_interleave(n)


def accuracy(model, x, y, shots=5):
    right = []
    for a in range(0, int(y.max()), 2):
        pair = [(y == k).nonzero()[:, 0] for k in (a, a + 1)]
        few, rest = torch.cat([p[:shots] for p in pair]), torch.cat([p[shots:] for p in pair])
        task = model.adapt(x[few], y[few])
        right.append((task.predict(x[rest]).argmax(1) == (y[rest] == a + 1)).double().mean())
    return float(torch.stack(right).mean())


@pytest.mark.slow
def test_it_learns_which_columns_tell_classes_apart():
    x, y = blobs(30, 20, 0)
    new_x, new_y = blobs(30, 20, 1)
    settings = {"ways": 2, "features": 6, "hidden": (24,)}
    ours = FewShotClassifier(**settings, steps=150, batch_size=2, lr=1e-2).fit(x, y)
    centroid = FewShotClassifier(**settings, learn_by="nothing").fit(x, y)
    maml = FewShotClassifier(**settings, learn_by="maml", steps=150).fit(x, y)
    found = [accuracy(model, new_x, new_y) for model in (ours, centroid, maml)]
    assert found[0] > found[1] + 0.05
    assert found[2] > found[1]


def test_names_of_new_classes_are_those_of_the_columns():
    pandas = pytest.importorskip("pandas")
    x, y = blobs(4, 8, 0)
    model = FewShotClassifier(ways=2, learn_by="nothing").fit(x, ["abcd"[k] for k in y.tolist()])
    task = model.adapt(x[:16], ["oak"] * 8 + ["elm"] * 8)
    assert task.classes == ["elm", "oak"]
    table = task.predict(pandas.DataFrame(x[:16].numpy()))
    assert [*table.columns] == ["elm", "oak"]
    assert_close(torch.tensor(table.to_numpy()).sum(1), torch.ones(16, **DOUBLE), check_dtype=False)
    assert (table["oak"][:8] > 0.5).mean() > 0.6


def test_what_does_not_fit_is_refused():
    x, y = blobs(4, 8, 0)
    with pytest.raises(InvalidInputError, match="y must have at least 5 classes"):
        FewShotClassifier(ways=5).fit(x, y)
    with pytest.raises(InvalidInputError, match="every group must have at least 6 rows"):
        FewShotClassifier(ways=2).fit(x[:9], torch.arange(9) % 4)
    with pytest.raises(InvalidInputError, match="rows of two classes or more"):
        TaskClassifier().fit(x[:8], torch.zeros(8, dtype=torch.long))
    with pytest.raises(InvalidInputError, match="symmetries are for square images"):
        FewShotClassifier(ways=2, symmetries=True).fit(x, y)
