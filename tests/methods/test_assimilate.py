"""Assimilation: Kalman's filter and smoother for an exact linear forecaster, gaps, names, units, refusals."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import interpolants
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import FitWarning
from interpolants.framework.frames import Standard
from interpolants.methods import Forecaster
from interpolants.operators import Mask
from interpolants.paths import Diffusive
from interpolants.solvers.resampling import effective_size

F64 = torch.float64
START = torch.zeros(1, 2, dtype=F64)
ANGLE, FACTOR, PROCESS, NOISE, TIMES = 0.4, 0.95, 0.2, 0.3, 40
TURN = FACTOR * torch.tensor(
    [[math.cos(ANGLE), -math.sin(ANGLE)], [math.sin(ANGLE), math.cos(ANGLE)]], dtype=F64
)
SCALE = torch.tensor([2.0, 5.0], dtype=F64)
SHIFT = torch.tensor([10.0, -3.0], dtype=F64)


class ExactDrift(nn.Module):
    """Drift of ``x1 | x0 ~ N(A x0, q^2 Id)`` for the diffusive path, in standardised units."""

    def __init__(self, matrix, process, path):
        super().__init__()
        self.line = nn.Linear(2, 2, bias=False)
        self.line.weight.data = matrix.float()
        self.process, self.path = process, path

    def forward(self, x, t, cond):
        x0, path = cond["x0"], self.path
        t = torch.as_tensor(t, dtype=F64).clamp(1e-5, 1 - 1e-5).reshape(-1, *(1,) * (x.ndim - 1))
        alpha, beta, squared = path.alpha(t), path.beta(t), path.envelope.gamma(t).square()
        mean, spread = self.line(x0).double(), self.process**2
        mean = (squared * mean + spread * beta * (x - alpha * x0)) / (squared + beta**2 * spread)
        u = path.alpha_dot(t) * x0 + path.beta_dot(t) * mean - (x - alpha * x0 - beta * mean) / (1 - t)
        return u.to(x)


def exact_forecaster(frame=None, columns=None):
    """A forecaster of the rotation whose drift is exact; its states are data in units of the frame."""
    x = torch.randn(64, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    path = Diffusive(scale=0.5 * PROCESS**2)
    x = x if frame is None else frame.decode(x)
    table = x if columns is None else pd.DataFrame(x.numpy(), columns=columns)
    made = Forecaster(path=path, steps=1, batch_size=8, net={"kind": "mlp", "width": 8, "depth": 1})
    made = made.fit(table, table)
    made.state["net"] = ExactDrift(TURN, PROCESS, path)
    made.state["frame"] = frame or Standard()
    return made


def simulated(seed=0):
    source = np.random.default_rng(seed)
    x, states, y = np.zeros(2), [], []
    for _ in range(TIMES):
        x = TURN.numpy() @ x + PROCESS * source.standard_normal(2)
        states.append(x)
        y.append(x[:1] + NOISE * source.standard_normal(1))
    return np.array(states), torch.tensor(np.array(y))


def kalman(y, missing=()):
    """Means, covariances and the log evidence of each time, by Kalman's recursion."""
    a, q = TURN.numpy(), PROCESS**2 * np.eye(2)
    m, p, means, covs, evidence = np.zeros(2), np.zeros((2, 2)), [], [], []
    for k, one in enumerate(y.numpy()):
        m, p = a @ m, a @ p @ a.T + q
        s = p[0, 0] + NOISE**2
        if k in missing:
            evidence.append(0.0)
        else:
            wrong, gain = one[0] - m[0], p[:, 0] / s
            evidence.append(-0.5 * wrong**2 / s - 0.5 * math.log(2 * math.pi * s))
            m, p = m + gain * wrong, p - np.outer(gain, p[0])
        means.append(m)
        covs.append(p)
    return np.array(means), np.array(covs), np.array(evidence)


def joint_smoother(y):
    """Means given all measurements, by one joint Gaussian of all states: no recursion."""
    a, n = TURN.numpy(), len(y)
    block = np.zeros((2 * n, 2 * n))
    for i in range(n):
        for j in range(i + 1):
            block[2 * i : 2 * i + 2, 2 * j : 2 * j + 2] = PROCESS * np.linalg.matrix_power(a, i - j)
    cov = block @ block.T
    h = np.kron(np.eye(n), [[1.0, 0.0]])
    return (cov @ h.T @ np.linalg.solve(h @ cov @ h.T + NOISE**2 * np.eye(n), y.numpy()[:, 0])).reshape(n, 2)


def rms(x, truth):
    return float(np.sqrt(np.mean((np.asarray(x) - truth) ** 2)))


@pytest.fixture(scope="module")
def forecaster():
    return exact_forecaster()


def assimilated(forecaster, y, **options):
    return forecaster.assimilate(y, START, NOISE, **{"operator": 0, "n_steps": 20, "seed": 1, **options})


@pytest.mark.parametrize("method", ["guided", "bootstrap", "enkf"])
def test_it_is_kalman_s_filter_for_a_linear_gaussian_model(forecaster, method):
    _, y = simulated()
    means, covs, evidence = kalman(y)
    found = assimilated(forecaster, y, method=method)
    assert found.x.shape == (TIMES, 200, 2)
    assert rms(found.mean, means) < 0.055  # the free forecast: 0.63
    assert abs(float(found.log_evidence.sum()) - evidence.sum()) < 1.5
    spread = np.sqrt(np.diagonal(covs, axis1=1, axis2=2))
    assert float((found.std / torch.from_numpy(spread)).mean()) == pytest.approx(1, abs=0.06)
    # With the exact forecasts these would be the innovations of Kalman's recursion.
    m, p, exact = np.zeros(2), np.zeros((2, 2)), []
    for k in range(TIMES):
        ahead, cov = TURN.numpy() @ m, TURN.numpy() @ p @ TURN.numpy().T + PROCESS**2 * np.eye(2)
        exact.append((float(y[k, 0]) - ahead[0]) / math.sqrt(cov[0, 0] + NOISE**2))
        m, p = means[k], covs[k]
    assert rms(found.innovations[:, 0], np.array(exact)) < 0.15


def test_weights_count_what_the_guide_cannot_know(forecaster):
    _, y = simulated()
    guided, bootstrap = (assimilated(forecaster, y, method=m) for m in ("guided", "bootstrap"))
    assert float(guided.ess.mean()) > 1.1 * float(bootstrap.ess.mean())
    assert float((guided.log_weights.std(1)).mean()) > 0.1
    assert float(effective_size(guided.log_weights).sub(guided.ess).abs().max()) < 1e-9


def test_the_smoother_is_the_joint_gaussian(forecaster):
    _, y = simulated()
    truth, means = joint_smoother(y), kalman(y)[0]
    whole = assimilated(forecaster, y)
    late = assimilated(forecaster, y, lag=5)
    assert torch.equal(late.x, whole.smoothed(5).x)
    assert rms(means[:-5], truth[:-5]) > 0.13
    assert rms(late.mean[:-5], truth[:-5]) < 0.06
    assert torch.equal(late.x[-1], whole.x[-1])
    assert len(torch.unique(late.x[0], dim=0)) < len(torch.unique(whole.x[0], dim=0))


def test_gaps_are_forecast_and_a_partial_row_counts(forecaster):
    _, y = simulated()
    missing = {3, 4, 17}
    holes = y.clone()
    holes[list(missing)] = float("nan")
    means, _, evidence = kalman(y, missing)
    found = assimilated(forecaster, holes)
    assert rms(found.mean, means) < 0.06
    assert float(found.log_evidence[[3, 4, 17]].abs().max()) < 1e-12
    assert bool(found.innovations[[3, 4, 17]].isnan().all())
    assert abs(float(found.log_evidence.sum()) - evidence.sum()) < 1.5
    # Two entries of which one is never measured: the bits of one.
    wide = torch.cat([y, torch.full_like(y, float("nan"))], 1)[:5]
    both = assimilated(forecaster, wide, operator=[0, 1])
    assert torch.equal(both.x, assimilated(forecaster, y[:5]).x)
    # Nothing measured at all: the distribution of the roll-out.
    free = assimilated(forecaster, torch.full((6, 1), float("nan")), members=2000)
    power = sum(FACTOR ** (2 * k) for k in range(6))
    assert float(free.std[-1].mean()) == pytest.approx(PROCESS * power**0.5, rel=0.05)
    assert float((2000 * free.weights - 1).abs().max()) < 1e-9


def test_units_and_names_do_not_matter(tmp_path):
    _, y = simulated()
    plain = assimilated(exact_forecaster(), y[:8])
    made = exact_forecaster(Standard(shift=SHIFT, scale=SCALE), columns=["east", "north"])
    table = pd.DataFrame((y[:8] * SCALE[0] + SHIFT[0]).numpy(), columns=["east"])
    start = pd.DataFrame(SHIFT[None].numpy(), columns=["east", "north"])[["north", "east"]]
    options = {"n_steps": 20, "seed": 1}
    found = made.assimilate(table, start, NOISE * 2.0, **options)
    torch.testing.assert_close(found.x, plain.x * SCALE + SHIFT, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(found.log_evidence, plain.log_evidence - math.log(2.0), atol=1e-4, rtol=1e-4)
    for operator in (
        "east",
        ["east"],
        0,
        [[1.0, 0.0]],
        lambda x: x[:, :1],
        Mask(torch.tensor([True, False])),
    ):
        again = made.assimilate(table, start, NOISE * 2.0, operator=operator, **options)
        torch.testing.assert_close(again.x, found.x, atol=1e-4, rtol=1e-5)
    found.write_file(tmp_path / "states.csv")
    assert (
        (tmp_path / "states.csv")
        .read_text()
        .startswith("time,east,north,east_std,north_std,log_evidence,ess")
    )
    arrays = made.assimilate(table, SHIFT[None].clone(), NOISE * 2.0, **options)
    assert list(arrays.table().columns) == list(found.table().columns)
    assert list(found.table().columns) == ["east", "north", "east_std", "north_std", "log_evidence", "ess"]
    swapped = pd.DataFrame(np.tile(SHIFT[[1, 0]].numpy(), (3, 1)), columns=["north", "east"])
    whole = made.assimilate(swapped, start, 0.1, operator=["east", "north"], **options)
    torch.testing.assert_close(whole.mean, SHIFT.expand(3, 2), atol=0.3, rtol=0)
    assert torch.equal(whole.x, made.assimilate(swapped[["east", "north"]], start, 0.1, **options).x)


def test_a_curved_measurement_against_importance_sampling(forecaster):
    # y = |x|^2 of one transition from (1, 0): truth by 400,000 weighted draws of the exact transition.
    start, y = torch.tensor([[1.0, 0.0]], dtype=F64), torch.tensor([[1.4]], dtype=F64)
    draw = torch.Generator().manual_seed(3)
    x = start @ TURN.T + PROCESS * torch.randn(400_000, 2, generator=draw, dtype=F64)
    log_w = -0.5 * ((1.4 - x.square().sum(1)) / 0.1).square() - math.log(0.1 * math.sqrt(2 * math.pi))
    w = log_w.softmax(0)
    options = {
        "operator": lambda x: x.square().sum(1, keepdim=True),
        "members": 4000,
        "n_steps": 50,
        "seed": 2,
    }
    found = forecaster.assimilate(y, start, 0.1, **options)
    truth = (w[:, None] * x).sum(0)
    assert_close = torch.testing.assert_close
    assert_close(found.mean[0], truth, atol=0.012, rtol=0)
    assert_close(found.std[0], (w[:, None] * (x - truth).square()).sum(0).sqrt(), atol=0.01, rtol=0)
    assert float(found.log_evidence[0]) == pytest.approx(
        float(log_w.logsumexp(0)) - math.log(400_000), abs=0.05
    )
    plain = forecaster.assimilate(y, start, 0.1, **{**options, "method": "bootstrap"})
    assert_close(plain.mean[0], truth, atol=0.02, rtol=0)
    assert float(found.ess[0]) > 3 * float(plain.ess[0])


def test_start_is_one_state_or_a_distribution(forecaster):
    _, y = simulated()
    rows = torch.tensor([[-3.0, 0.0], [3.0, 0.0]], dtype=F64)
    found = forecaster.assimilate(y[:1], rows, 100.0, operator=0, members=50, n_steps=20)
    side = (found.x[0, :, 0] > 0).sum()
    assert int(side) == 25
    assert found.ancestors[0].tolist() == list(range(50))


def test_members_belong_to_their_number_and_the_seed(forecaster):
    _, y = simulated()
    once, again = (assimilated(forecaster, y[:3]) for _ in range(2))
    assert torch.equal(once.x, again.x)
    assert not torch.equal(once.x, assimilated(forecaster, y[:3], seed=2).x)


def test_it_answers_in_single_precision_after_storage(forecaster, tmp_path):
    now = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    made = Forecaster(steps=20, batch_size=32, net={"kind": "mlp", "width": 8, "depth": 1}).fit(
        now, now * 0.5
    )
    again = interpolants.load(made.save(tmp_path / "f"))
    found = again.assimilate(torch.zeros(2, 2), now[:1], 0.5, members=10, n_steps=5)
    assert found.x.dtype == torch.float32
    assert torch.equal(found.x, made.assimilate(torch.zeros(2, 2), now[:1], 0.5, members=10, n_steps=5).x)


def test_conditions_go_with_the_members():
    now = torch.zeros(400, 1)
    cond = torch.randint(0, 2, (400,), generator=torch.Generator().manual_seed(0))
    later = (2.0 * cond - 1)[:, None] + 0.1 * torch.randn(400, 1, generator=torch.Generator().manual_seed(1))
    made = Forecaster(
        steps=300, batch_size=128, lr=1e-2, net={"kind": "mlp", "width": 32, "depth": 2}, seed=0
    )
    made.fit(now, later, cond=cond)
    gap = torch.full((1, 1), float("nan"))
    both = made.assimilate(gap, torch.zeros(2, 1), 1.0, cond=torch.tensor([0, 1]), members=40, n_steps=20)
    assert int((both.x[0, :, 0] > 0).sum()) == 20
    # The label that y speaks for is the one whose members survive.
    y = torch.tensor([[1.0]])
    found = made.assimilate(y, torch.zeros(2, 1), 0.2, cond=torch.tensor([0, 1]), members=40, n_steps=20)
    assert float(found.mean[0]) == pytest.approx(1.0, abs=0.15)
    with pytest.raises(InvalidInputError, match="cond"):
        made.assimilate(y, torch.zeros(1, 1), 0.2)


def test_collapse_is_told(forecaster):
    y, options = torch.tensor([[0.3]]), {"operator": 0, "members": 5, "method": "bootstrap", "n_steps": 5}
    with pytest.warns(
        FitWarning, match="collapsed to less than 2 of 5 members at 1 of 1 times, first at time 1"
    ):
        forecaster.assimilate(y, START, 1e-3, **options)


def test_other_units_of_y_are_told(forecaster):
    _, y = simulated()
    with pytest.warns(FitWarning, match=r"y lies [\d.e+]+ standard deviations from its forecasts"):
        assimilated(forecaster, 1000 * y, method="enkf")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": 0.0}, "noise"),
        ({"noise": [0.1, 0.2]}, "noise must be one number, or 1"),
        ({"operator": 2}, r"a column must be a number in \[0, 2\)"),
        ({"operator": "east"}, "operator must name columns"),
        ({"operator": [0, 0], "y": torch.zeros(3, 2)}, "every column must be measured once"),
        ({"operator": None}, "without operator, y must have the shape of the states"),
        ({"operator": [[1.0, 0.0, 0.0]]}, "a matrix must have 2 columns"),
        ({"operator": lambda x: x.detach()[:, :1]}, "H must be differentiable"),
        ({"operator": lambda x: x}, r"y must have the shape of H\(x\)"),
        ({"operator": 3.5}, "operator"),
        ({"start": torch.zeros(1, 3, dtype=F64)}, "start must have the event shape"),
        ({"start": torch.full((1, 2), float("nan"))}, "finite"),
        ({"y": torch.full((3, 1), float("inf"))}, "finite|infinite"),
        ({"members": 1}, "members"),
        ({"method": "kalman"}, "method"),
        ({"lag": 2, "method": "enkf"}, "lag must be 0"),
        ({"inflation": 1.1}, "inflation must go with method='enkf'"),
        ({"inflation": 0.9, "method": "enkf"}, "inflation"),
        ({"n_steps": 1}, "n_steps"),
        ({"n_step": 5}, "n_step"),
    ],
)
def test_refusals(forecaster, options, message):
    given = {
        "y": torch.zeros(3, 1),
        "start": START,
        "noise": NOISE,
        "operator": 0,
        "n_steps": 4,
        "members": 4,
    }
    with pytest.raises(InvalidInputError, match=message):
        forecaster.assimilate(**(given | options))


def test_unknown_columns_of_y_are_refused():
    made = exact_forecaster(columns=["east", "north"])
    with pytest.raises(InvalidInputError, match="every column of y must be a column of the states"):
        made.assimilate(pd.DataFrame({"eats": [1.0]}), START, 0.1)
    with pytest.raises(InvalidInputError, match="y must have the measured columns"):
        made.assimilate(pd.DataFrame({"north": [1.0]}), START, 0.1, operator="east")
    # A name of its own goes by position.
    assert made.assimilate(pd.DataFrame({"gauge": [1.0]}), START, 0.1, operator="east", members=4, n_steps=4)


def test_pictures_are_measured_at_pixels():
    x = torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    made = Forecaster(steps=1, batch_size=4, net={"kind": "unet", "channels": 8}).fit(x, x)
    known = torch.zeros(1, 8, 8, dtype=torch.bool)
    known[0, 0, :2] = True
    found = made.assimilate(torch.zeros(2, 2), x[:1], 2.0, operator=Mask(known), members=6, n_steps=4)
    assert found.mean.shape == (2, 1, 8, 8)
    assert found.innovations.shape == (2, 2)
