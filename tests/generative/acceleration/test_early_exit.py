"""Heads and estimates at layers: a stack with known errors, a fit on digits, what the method refuses."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from digits_net import digits
from interpolants.fields import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.generative.acceleration.early_exit import EarlyExit
from interpolants.generative.acceleration.exit_heads import ExitHeads
from interpolants.generative.acceleration.exit_training import ExitLoss, ExitProblem, calibrated
from interpolants.methods import Bridge
from interpolants.nets import MLP
from interpolants.paths import VP

SIZES = (1.0, 0.3, 0.1, 0.0)
BASE = {
    "path": "one_sided_linear",
    "net": {"kind": "mlp", "width": 32, "depth": 5, "residual": True},
    "steps": 30,
    "batch_size": 32,
}


class Stack(nn.Module):
    """Layers whose answers are the true noise of data at zero, plus ``s_i n``."""

    def __init__(self):
        super().__init__()
        self.n_layers, self.width, self.per_token = len(SIZES), 4, 3
        self.source = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.zeros(1))
        self.eval()

    def stem(self, x, t, cond=None):
        return 0, x / VP().alpha(t)[:, None]

    def layer(self, index, state):
        return index + 1, state[1]

    def tokens(self, state):
        return torch.zeros(len(state[1]), 1, 4)

    def head(self, state):
        depth, z = state
        return z + SIZES[depth - 1] * torch.randn(z.shape, generator=self.source)

    def arranged(self, values):
        return values[:, 0]

    def rows(self, state, index):
        return state[0], state[1][index]

    def forward(self, x, t, cond=None):
        return self.head((self.n_layers, self.stem(x, t)[1]))


def mean_tanh(s):
    """``E tanh(s |n|)`` of a standard normal n, by quadrature."""
    n = torch.linspace(-9, 9, 20_001, dtype=torch.float64)
    density = torch.exp(-n.square() / 2) / math.sqrt(2 * math.pi)
    return float(torch.trapezoid(torch.tanh(s * n.abs()) * density, n))


@pytest.mark.slow
def test_estimates_of_a_stack_with_known_errors_are_the_known_integrals():
    problem = ExitProblem(LearnedFields(VP(), noise=Stack()), {"error": "noise", "gap": "noise"})
    exits = ExitHeads(4, 4, 3, head="shared", time_features=0)
    loss = ExitLoss(problem, False, 1.0, 0.0, 0.0, "none", 0.0)
    optimizer, source = torch.optim.Adam(exits.parameters(), 5e-2), torch.Generator().manual_seed(1)
    for step in range(500):
        for group in optimizer.param_groups:
            group["lr"] = 5e-2 * (1 - step / 500)
        t = 0.05 + 0.9 * torch.rand(1024, generator=source)
        batch = {"x0": None, "x1": torch.zeros(1024, 3), "t": t, "cond": None, "weight": torch.ones(1024)}
        value = loss({"exits": exits}, batch, source)["estimates"].mean()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    with torch.no_grad():
        for index, s in enumerate(SIZES[:-1]):
            for name in ("error", "gap"):  # the last layer is exact, so both are one
                u = exits.estimate(name, index, torch.zeros(1, 1, 4), torch.tensor(0.5))
                assert_close(u.flatten(), torch.full((3,), mean_tanh(s)), atol=0.01, rtol=0)

    def draw(time, g):
        x1 = torch.zeros(20_000, 3)
        return problem.path.sample(x0=None, x1=x1, t=time.expand(20_000), generator=g), None

    table = calibrated(problem, exits, draw, torch.tensor([0.2, 0.7]), source)
    wanted = torch.tensor([mean_tanh(s) for s in SIZES]).double()
    assert_close(table["error"], wanted.expand(2, 4), atol=0.01, rtol=0)


def test_weights_of_layers_carry_no_gradient_to_the_estimates():
    net = MLP(3, width=8, depth=5, residual=True)
    problem = ExitProblem(LearnedFields(VP(), noise=net), {"error": "noise", "gap": "denoised"})
    batch = {
        "x0": None,
        "x1": torch.zeros(16, 3),
        "t": torch.rand(16),
        "cond": None,
        "weight": torch.ones(16),
    }
    for weighting in ("elements", "batch", "none"):
        exits = ExitHeads(4, 8, 3)
        loss = ExitLoss(problem, True, 1.0, 1.0, 0.0, weighting, 0.0)
        found = loss({"exits": exits, "net": net}, batch, torch.Generator().manual_seed(0))
        found["layers"].sum().backward()
        assert all(p.grad is None or not p.grad.any() for p in exits.estimates.parameters())
        assert all(one[1].weight.grad.any() for one in exits.heads)
        shares = loss._shares([torch.full((4, 1, 3), 0.2), torch.full((4, 1, 3), 0.6)])
        means = [float(share.mean()) for share in shares]
        wanted = {"elements": [0.8, 0.4], "batch": [4 / 3, 2 / 3], "none": [1.0, 1.0]}[weighting]
        assert means == pytest.approx(wanted)


def small(**settings):
    return EarlyExit(**{"steps": 20, "batch_size": 32, **settings})


@pytest.fixture(scope="module")
def rows():
    return digits()[:200]


@pytest.fixture(scope="module")
def model(rows):
    return Bridge(**BASE).fit(x1=rows, progress=False)


def test_an_untuned_full_run_is_the_model_to_the_bit_and_a_tuned_one_another(rows, model):
    run = {"seed": 3, "n_steps": 4, "method": "ddim"}
    frozen = small(tune=False).fit(x1=rows, model=model)
    base = model.sample(20, **run)
    assert torch.equal(frozen.sample(20, criterion="full", **run), base)
    assert torch.equal(frozen.sample(20, criterion="gap", threshold=0, **run), base)
    tuned = small().fit(x1=rows, model=model)
    assert not torch.equal(tuned.sample(20, criterion="full", **run), base)
    assert torch.equal(model.sample(20, **run), base)
    for criterion, threshold in (("absolute", 1.0), ("gap", 1), ("static", 1)):
        done = tuned.sample(20, criterion=criterion, threshold=threshold, details=True, **run)
        assert done.reports[-1]["layers"].tolist() == [1.0] * 20
    tuned.set_params(consecutive=3)  # without another fit
    done = tuned.sample(20, criterion="absolute", threshold=1.0, details=True, **run)
    assert done.reports[-1]["layers"].tolist() == [3.0] * 20
    tuned.set_params(consecutive=1)
    relative = tuned.sample(20, criterion="relative", threshold=0.1, details=True, **run)
    assert 1 <= float(relative.reports[-1]["layers"].mean()) <= 4
    profile = tuned.depth_profile(32, criterion="static", threshold=2, n_steps=4, method="ddim")
    assert profile["mean"].tolist() == [2.0] * 4
    assert tuned.table["error"].shape == (33, 4)


@pytest.mark.slow
def test_two_sided_conditional_and_preconditioned_models(rows):
    cond = torch.arange(200) % 3
    two = Bridge(**{**BASE, "path": "linear", "heads": ("mean_rate", "noise")}).fit(
        x0=rows.flip(0), x1=rows, cond=cond, progress=False
    )
    found = small().fit(x0=rows.flip(0), x1=rows, cond=cond, model=two)
    assert found.sample(10, cond=torch.tensor(1), n_steps=3, eps=0.3).shape == (10, 1, 8, 8)
    with pytest.raises(InvalidInputError, match="x0 must be passed"):
        small().fit(x1=rows, cond=cond, model=two)
    edm = Bridge(**{**BASE, "path": "edm", "heads": ("denoised",), "precondition": True}).fit(
        x1=rows, progress=False
    )
    found = small(head="shared", weighting="batch").fit(x1=rows, model=edm)
    assert bool(
        found.sample(10, criterion="relative", threshold=0.2, n_steps=6, method="ddim").isfinite().all()
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 1.5}, "threshold"),
        ({"criterion": "static", "threshold": 0}, "threshold"),
        ({"base": {"path": "lineer"}}, "lineer"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(InvalidInputError, match=message):
        EarlyExit(**settings)


def test_models_that_do_not_fit_are_refused(rows, model):
    plain = Bridge("one_sided_linear", net={"kind": "mlp", "width": 8}, steps=2).fit(x1=rows, progress=False)
    unet = Bridge("one_sided_linear", net={"kind": "unet", "channels": 8}, steps=2).fit(
        x1=rows, progress=False
    )
    for other, message in ((plain, "at least two layers"), (unet, "one of layers")):
        with pytest.raises(InvalidInputError, match=message):
            small().fit(x1=rows, model=other)
    with pytest.raises(InvalidInputError, match="exactly one of model and base"):
        small().fit(x1=rows)
    with pytest.raises(InvalidInputError, match="exactly one of model and base"):
        small(base=BASE).fit(x1=rows, model=model)


@pytest.mark.slow
def test_on_digits_estimates_of_errors_know_them(rows):
    # In units of the data: in whitened ones the pixels that hardly vary dominate the small gaps between layers (0.57).
    base = {**BASE, "net": {**BASE["net"], "width": 96, "depth": 7}, "steps": 600, "batch_size": 128}
    base["standardize"] = False
    found = EarlyExit(base=base, steps=300, batch_size=128, ema=0.99).fit(x1=digits())
    assert float(found.table["correlation"].min()) > 0.9
    assert float(found.table["gap_correlation"].min()) > 0.9
    assert float(found.table["error"][:, -1].max() / found.table["error"][:, -1].min()) > 5


def test_layers_that_are_all_thought_to_be_wrong_have_no_weight_but_the_plain_one():
    """Estimates of exactly 1, to which a sigmoid rounds."""
    problem = ExitProblem(LearnedFields(VP(), noise=Stack()), {"error": "noise", "gap": "noise"})
    for weighting in ("elements", "batch"):
        loss = ExitLoss(problem, False, 1.0, 2.0, 0.25, weighting, 0.0)
        shares = loss._shares([torch.ones(4, 1, 3)] * 2)
        assert [float(share.mean()) for share in shares] == [0.25, 0.25]


def test_losses_of_the_early_layers_are_a_mean():
    """Squared errors of three entries with the sizes of the stack: 3 s^2 in mean."""
    problem = ExitProblem(LearnedFields(VP(), noise=Stack()), {"error": "noise", "gap": "noise"})
    exits = ExitHeads(4, 4, 3, head="shared", time_features=0)
    n, source = 20_000, torch.Generator().manual_seed(1)
    batch = {
        "x0": None,
        "x1": torch.zeros(n, 3),
        "t": torch.full((n,), 0.5),
        "cond": None,
        "weight": torch.ones(n),
    }
    found = ExitLoss(problem, False, 1.0, 0.0, 0.5, "none", 0.0)({"exits": exits}, batch, source)["layers"]
    wanted = 0.5 * 3 * sum(s**2 for s in SIZES[:-1]) / 3
    assert float(found.mean()) == pytest.approx(wanted, abs=5 * float(found.std()) / n**0.5)


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_the_threshold_for_a_share_of_the_layers_is_the_one_that_takes_it(share):
    """Of a sampler that goes through 8 (1 - threshold^2) of 8 layers."""

    class Sampler:
        criterion, exits = "absolute", SimpleNamespace(n_layers=8)

        def sample(self, n, *, criterion, threshold, details):
            layers = torch.full((n,), 8 * (1 - threshold**2))
            return SimpleNamespace(reports=[{"layers": layers}])

    found = EarlyExit.threshold_for(Sampler(), share)
    assert found == pytest.approx((1 - share) ** 0.5, abs=2**-11)  # half of what ten trials halve
