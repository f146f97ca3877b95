"""Few-step samplers: known answers on a Gaussian, exact gradients in parts, best weights, labels, refusals."""

import functools

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import interpolants
from interpolants.dynamics.sample import sample
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import FitWarning
from interpolants.methods import Bridge
from interpolants.methods.few_step.features import new_features
from interpolants.methods.few_step.few_step import Ends, FewStep, Judge
from interpolants.objectives.distribution_matching import GaussianKernels

NET = {"kind": "mlp", "width": 32, "depth": 2}


def moons(n=600, seed=0):
    source = torch.Generator().manual_seed(seed)
    angle = torch.rand(n, generator=source) * torch.pi
    side = torch.randint(2, (n,), generator=source)
    x = torch.stack([angle.cos() + side - 0.5, (1 - 2 * side) * angle.sin() + 0.5 * side], 1)
    return x + 0.08 * torch.randn(n, 2, generator=source), side


@functools.cache
def teacher(labels=False):
    x, side = moons()
    bridge = Bridge(path="vp", net=NET, steps=200, batch_size=128, seed=0)
    return bridge.fit(x1=x, cond=side if labels else None, progress=False)


def quick(**settings):
    return FewStep(**{"n_steps": 2, "steps": 40, "batch_size": 64, "lr": 3e-3, "seed": 0, **settings})


@functools.cache
def fitted():
    return quick(steps=120).fit(model=teacher(), x1=moons()[0], progress=False)


def test_a_few_steps_get_nearer_to_the_data_and_the_model_stays_as_it_was():
    before = [p.clone() for net in teacher().fields.networks for p in net.parameters()]
    found = fitted().state["held_out_mmd"]
    assert found["after"] < 0.4 * found["before"]
    after = [p for net in teacher().fields.networks for p in net.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    plain = teacher().sample(500, seed=3, method="ddim", n_steps=2)
    real = moons(500, seed=9)[0]
    gaps = [
        interpolants.metrics.energy_distance(x, real).value for x in (plain, fitted().sample(500, seed=3))
    ]
    assert gaps[1] < 0.5 * gaps[0]


def test_samples_are_those_of_the_stated_steps_and_rows_are_independent():
    found = fitted()
    model = found.state["model"]
    start = model.frame.encode(model.decoded(torch.zeros(1, 2)))  # in kind
    assert start.shape == (1, 2)
    whole = found.sample(130, seed=5)
    assert torch.equal(found.sample(20, seed=5, first_index=70), whole[70:90])
    again = sample(model.fields, torch.zeros(3, 2), method="ddim", n_steps=2).nfe
    assert again == 2


def test_saving_and_loading_keeps_the_bits(tmp_path):
    fitted().save(tmp_path / "fast")
    again = interpolants.load(tmp_path / "fast")
    assert torch.equal(again.sample(30, seed=2), fitted().sample(30, seed=2))
    with pytest.raises(AttributeError, match="log_prob"):  # it has no density
        again.log_prob(torch.zeros(3, 2))


class Scale(nn.Module):
    """The exact noise of N(0, 1) data on VP, with one factor to be learnt."""

    def __init__(self, path):
        super().__init__()
        self.path, self.factor = path, nn.Parameter(torch.tensor(1.3))

    def forward(self, x, t, cond=None):
        alpha = self.path.alpha(t)
        return self.factor * (alpha.reshape(-1, 1) if t.ndim else alpha) * x


def unrolled_loss(settings, fields, rows, labels=None):
    ends = Ends(settings, fields, rows, labels)
    batch = ends.batches(1, torch.Generator().manual_seed(0), 0, 1)
    nets = nn.ModuleList(fields.networks)
    nets.zero_grad()
    total = ends.loss(nets, batch, torch.Generator())["mmd"]
    total.backward()
    return total.detach(), torch.cat([p.grad.flatten() for p in nets.parameters() if p.grad is not None])


@pytest.mark.parametrize("labelled", [False, True])
def test_gradients_in_parts_are_those_of_the_whole_batch(labelled):
    fields, labels = teacher(labelled).fields, moons()[1] if labelled else None
    for net in fields.networks:
        net.requires_grad_(True)
    rows = teacher().frame.encode(moons()[0]).float()
    whole = unrolled_loss(quick(), fields, rows, labels)
    parts = unrolled_loss(quick(micro=10), fields, rows, labels)
    for net in fields.networks:
        net.requires_grad_(False)
    assert_close(parts[0], whole[0])
    assert_close(parts[1], whole[1], rtol=1e-4, atol=1e-6)


def test_the_gradient_through_the_steps_is_that_of_finite_differences():
    from interpolants.fields import LearnedFields
    from interpolants.methods.few_step.few_step import unrolled
    from interpolants.paths import VP

    path = VP()
    net = Scale(path).double()
    fields = LearnedFields(path, noise=net)
    z = torch.randn(5, 2, generator=torch.Generator().manual_seed(0)).double()
    settings = quick(n_steps=3)

    def total():
        return unrolled(fields, z, None, settings).square().sum()

    total().backward()
    with torch.no_grad():
        values = []
        for change in (1e-5, -1e-5):
            net.factor += change
            values.append(float(total()))
            net.factor -= change
    assert_close(float(net.factor.grad), (values[0] - values[1]) / 2e-5, rtol=1e-4, atol=0)


@pytest.mark.slow
def test_labels_are_matched():
    x, side = moons()
    found = quick(steps=120).fit(model=teacher(labels=True), x1=x, cond=side, progress=False)
    for label in (0, 1):
        made, real = found.sample(400, seed=1, cond=label), x[side == label]
        assert_close(made.mean(0), real.mean(0), atol=0.25, rtol=0)
    with pytest.raises(InvalidInputError, match="cond"):
        found.sample(10)


def test_where_nothing_can_be_gained_it_says_so_and_keeps_the_model():
    x = teacher().sample(600, seed=50, method="ddim", n_steps=4)  # the few-step samples are the data
    with pytest.warns(FitWarning, match="nothing left to gain"):
        found = quick(n_steps=4, steps=20, lr=0.3).fit(model=teacher(), x1=x, progress=False)
    assert found.state["held_out_mmd"]["after"] <= found.state["held_out_mmd"]["before"]


@pytest.mark.filterwarnings("ignore::interpolants.foundations.tell.FitWarning")
def test_features_of_your_own_and_other_kernels():
    lift = nn.Linear(2, 16).requires_grad_(False).eval()
    found = quick(features=lift, kernel=GaussianKernels((1.0,)), method="reverse_flow", n_steps=3)
    found.fit(model=teacher(), x1=moons()[0], progress=False)
    assert found.sample(5).shape == (5, 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "dopri5"}, "fixed steps"),
        ({"features": "pixels"}, "features must be one of"),
        ({"features": "pca", "judge": "pca"}, "other features"),
        ({"kernel": "cubic"}, "kernel must be one of"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(InvalidInputError, match=message):
        quick(**settings)


def test_models_and_data_that_do_not_fit_are_refused():
    x, _ = moons(60)
    two_sided = Bridge(net=NET, steps=3, batch_size=16).fit(x, x + 1, progress=False)
    with pytest.raises(InvalidInputError, match="start from a Gaussian base"):
        quick().fit(model=two_sided, x1=x, progress=False)
    with pytest.raises(InvalidInputError, match="pictures"):
        quick(features="convolutions").fit(model=teacher(), x1=x, progress=False)
    with pytest.raises(InvalidInputError, match="must be labels"):
        quick().fit(model=teacher(), x1=x, cond=torch.rand(60, 2), progress=False)


class _Detached(nn.Module):
    def forward(self, x):
        return x.detach() * 2


def _of_numpy(x):
    return torch.from_numpy(2 * x.detach().numpy())


def _without(x):
    with torch.no_grad():
        return 2 * x


@pytest.mark.parametrize(
    "features",
    [_Detached().eval(), _of_numpy, _without, lambda x: torch.ones_like(x).cumsum(0)],
    ids=["detached", "NumPy", "without", "constant"],
)
def test_features_without_a_gradient_are_refused_by_name(features):
    """They ended in torch's words, "element 0 of tensors does not require grad"."""
    with pytest.raises(InvalidInputError, match="features must be differentiable in the states"):
        quick(features=features).fit(model=teacher(), x1=moons()[0], progress=False)
    if features is _of_numpy:  # a judge is only looked at
        assert new_features(features, moons()[0], setting="judge").scale > 0


@pytest.mark.parametrize("setting", ["features", "judge"])
@pytest.mark.parametrize("inner", [nn.Dropout(0.5), nn.BatchNorm1d(2)], ids=["dropout", "batch norm"])
def test_features_in_training_mode_are_refused(setting, inner):
    net = nn.Sequential(nn.Linear(2, 2), inner)
    with pytest.raises(InvalidInputError, match=f"{setting} must be a network in evaluation mode"):
        quick(**{setting: net}).fit(model=teacher(), x1=moons()[0], progress=False)


def test_features_count_from_the_mean_of_real_rows_in_one_unit_for_all(generator):
    rows = torch.randn(400, 3, generator=generator) * torch.tensor([1.0, 5.0, 0.2]) + torch.tensor(
        [7.0, 0.0, -2.0]
    )
    features = new_features("entries", rows)
    found = features(rows)
    assert_close(found.mean(0), torch.zeros(3), rtol=0, atol=1e-5)
    assert float(found.std(0).square().mean()) == pytest.approx(1, rel=1e-5)
    assert_close(found.std(0) / found.std(0)[0], rows.std(0) / rows.std(0)[0])
    assert_close(features(rows[:1] + 5) - features(rows[:1]), (5 * found.std(0) / rows.std(0))[None])


def test_the_judge_of_rows_looks_at_their_principal_components_unless_the_loss_does():
    fields, (x, _) = teacher().fields, moons()
    rows = teacher().frame.encode(x).float()
    own = nn.Linear(2, 16).requires_grad_(False)
    judged = {
        one: Judge(quick(features=one), fields, rows, rows, None).features(rows) for one in (own, "pca")
    }
    components = new_features("pca", rows, setting="judge")(rows)
    assert_close(judged[own], components)
    assert not torch.equal(judged["pca"], components)
