"""Random-grid processes: the optimum of a linear Gaussian problem, a rod with a closed form, CSV files."""

import math
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.testing import assert_close
from typer.testing import CliRunner

import interpolants
from interpolants.cli.app import app
from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.foundations.randomness import generator
from interpolants.foundations.tell import OutsideWarning
from interpolants.sciml import RandomGridProcess
from interpolants.sciml.pinn.family_nets import FieldNet
from interpolants.sciml.pinn.family_training import FamilyBatches, FamilyField, FieldLoss, fixed_grid
from interpolants.sciml.pinn.low_rank import entropy, log_density
from interpolants.sciml.pinn.pde.family import PDEFamily
from interpolants.sciml.pinn.pde.linear_decay import LinearDecay
from interpolants.sciml.pinn.pde.nonlinear_poisson import NonlinearPoisson
from interpolants.sciml.pinn.taylor import Orders


def test_low_rank_gaussians_are_dense_ones():
    g = torch.Generator().manual_seed(0)
    gap, std = (
        torch.randn(4, 7, dtype=torch.float64, generator=g),
        torch.rand(4, 7, generator=g).double() + 0.1,
    )
    factor = torch.randn(4, 7, 2, dtype=torch.float64, generator=g)
    covariance = torch.diag_embed(std.square()) + factor @ factor.mT
    dense = torch.distributions.MultivariateNormal(torch.zeros(4, 7).double(), covariance)
    assert_close(log_density(gap, std, factor), dense.log_prob(gap), atol=1e-10, rtol=1e-10)
    assert_close(entropy(std, factor), dense.entropy(), atol=1e-10, rtol=1e-10)
    none = factor[..., :0]
    assert_close(entropy(std, none), torch.distributions.Normal(0.0, std).entropy().sum(-1))


# --- a linear Gaussian problem: r_i = u_i - c z, u_i = m z + s e_i, z ~ N(0, 1) ---------------------------------------


@dataclass(frozen=True)
class Scaled(PDEFamily):
    """``u = z`` everywhere."""

    box: dict = field(default_factory=lambda: {"x": (-1.0, 1.0)})
    unknown: dict = field(default_factory=lambda: {"z": (-1.0, 1.0)})
    known: dict = field(default_factory=dict)

    def residual_at(self, points, u, z, w):
        return u() - z

    def distance_at(self, points):
        return torch.ones_like(points)

    def draw(self, n, source):
        return torch.randn(n, 1, generator=source, dtype=torch.float64), torch.zeros(n, 0).double()


class LinearField(nn.Module):
    """``N(m z, s^2)``."""

    rank = 1

    def __init__(self, m, s):
        super().__init__()
        self.m, self.log_s = nn.Parameter(torch.tensor(m)), nn.Parameter(torch.tensor(s).log())

    def bundles(self, points, parameters, orders):
        return [self.m * parameters], [self.log_s.exp().expand(len(points), 1)], [torch.zeros_like(points)]


class LinearPosterior(nn.Module):
    """``N(a mean(u), v)``."""

    def __init__(self, a, v):
        super().__init__()
        self.a, self.log_v = nn.Parameter(torch.tensor(a)), nn.Parameter(torch.tensor(v).log())

    def forward(self, points, u, known):
        mean = self.a * u.mean(1, keepdim=True)
        return mean, (self.log_v / 2).exp().expand_as(mean), torch.zeros(len(u), 1, 1)


EPS = 0.05


def linear(n, m, s):
    """Nets with the posterior that is best for m and s."""
    precision = 1 + n * m**2 / s**2
    posterior = LinearPosterior(n * m / s**2 / precision, 1 / precision)
    return nn.ModuleDict({"field": LinearField(m, s), "posterior": posterior})


def bound(n, m, s):
    """The bound in closed form, with ``v = s^2 / (n m^2 + s^2)``."""
    fit = -n / 2 * math.log(2 * math.pi * EPS**2) - n * ((m - 1) ** 2 + s**2) / (2 * EPS**2)
    wide = n / 2 * math.log(2 * math.pi * math.e * s**2)
    known = -math.log(2 * math.pi * math.e * s**2 / (n * m**2 + s**2)) / 2
    return fit + wide + known


def cases_of(n, cases, step=1):
    family = Scaled()
    return FamilyBatches(family, cases, n, n)(step, generator(0, "toy", step), 0, 1)


def losses(nets, n, cases, step=1, *, joint=True):
    loss = FieldLoss(FamilyField(Scaled(), Orders({"x": 0})), (EPS, EPS), 100, joint)
    return loss(nets, cases_of(n, cases, step), generator(1, "toy", step), step)


@pytest.mark.parametrize("n", [2, 5])
def test_the_bound_is_that_in_closed_form(n):
    found = torch.stack(list(losses(linear(n, 0.97, 0.07), n, 20_000).values())).sum(0).detach().double()
    each = -found * n / EPS**2 - n / 2 * math.log(2 * math.pi * EPS**2)
    error = float(each.std()) / len(each) ** 0.5
    assert abs(float(each.mean()) - bound(n, 0.97, 0.07)) < 3 * error


def optimum(n, *, joint):
    """m and ``s^2 / eps^2`` where gradients lead, averaged over the last steps."""
    nets, kept = linear(n, 0.9, 0.9 * EPS), []
    optimizer = torch.optim.Adam(nets.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
    for step in range(1, 301):
        optimizer.zero_grad()
        sum(part.mean() for part in losses(nets, n, 512, step, joint=joint).values()).backward()
        optimizer.step()
        schedule.step()
        if step > 200:
            now = nets["field"].m.detach(), nets["field"].log_s.detach()
            kept.append([float(now[0]), 2 * (float(now[1]) - math.log(EPS))])
    m, log_ratio = np.mean(kept, 0)
    return m, math.exp(log_ratio)


@pytest.mark.parametrize("n", [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (5, 30))])
def test_the_spread_at_the_optimum_is_that_of_the_tolerance_less_the_share_of_the_parameter(n):
    m, ratio = optimum(n, joint=True)
    assert m == pytest.approx(1.0, rel=0.01)
    assert ratio == pytest.approx((n - 1) / n, rel=0.03)


def test_without_the_posterior_the_spread_is_the_tolerance():
    m, ratio = optimum(2, joint=False)
    assert m == pytest.approx(1.0, rel=0.01)
    assert ratio == pytest.approx(1.0, rel=0.03)


# --- derivatives of the network ---------------------------------------------------------------------------------------


def test_taylor_coefficients_of_the_field_are_derivatives_by_nested_forward_mode():
    net = FieldNet({"x": (0.0, 2.0), "y": (-1.0, 1.0)}, 3, width=8, depth=2, rank=1).double()
    g = torch.Generator().manual_seed(0)
    points, parameters = torch.rand(5, 2, generator=g).double(), torch.randn(5, 3, generator=g).double()
    orders = Orders({"x": 2, "y": 3})
    found = [orders.derivatives(part) for part in net.bundles(points, parameters, orders)]

    def part_of(k):
        return lambda at: net.bundles(at, parameters, Orders({"x": 0, "y": 0}))[k][0]

    for k, derivatives in enumerate(found):
        for axis, most in (("x", 2), ("y", 3)):
            function, along = part_of(k), torch.eye(2).double()["xy".index(axis)].expand(5, -1)
            for order in range(1, most + 1):
                function = slope(function, along)
                assert_close(derivatives[axis * order], function(points), atol=1e-9, rtol=1e-8)


def slope(function, along):
    return lambda at: torch.func.jvp(function, (at,), (along,))[1]


# --- a rod with a closed form, learnt from its equation ---------------------------------------------------------------


@dataclass(frozen=True)
class Rod(PDEFamily):
    """``u'' = -z u``, ``u(0) = end``, ``u(1) = 0``; ``u = end sin(k (1 - x)) / sin(k)``, ``k^2 = z``."""

    box: dict = field(default_factory=lambda: {"x": (0.0, 1.0)})
    unknown: dict = field(default_factory=lambda: {"z": (1.0, 6.0)})
    known: dict = field(default_factory=lambda: {"end": (1.0, 2.0)})

    def residual_at(self, points, u, z, w):
        return u("xx") + z * u()

    def boundary_at(self, points, w):
        return w * (1 - points)

    def distance_at(self, points):
        return points * (1 - points)


def rod(x, z, end):
    return end * np.sin(z**0.5 * (1 - x)) / np.sin(z**0.5)


SMALL = {"width": 8, "depth": 1, "steps": 4, "inverse_steps": 4, "points": 4, "sensors": (3, 6), "batch_size": 4,
         "inverse_batch": 4, "encoder": {"channels": 3, "nodes": 6, "filters": 4, "features": 8}}  # fmt: skip


@pytest.fixture(scope="module")
def learnt():
    settings = {"width": 24, "depth": 2, "waves": 2, "points": 10, "steps": 400, "batch_size": 16, "lr": 5e-3,
                "inverse_steps": 200, "inverse_batch": 32, "sensors": (6, 20), "noise": 0.02,
                "encoder": {"channels": 6, "nodes": 8, "filters": 12, "features": 32}}  # fmt: skip
    return RandomGridProcess(**settings).fit(Rod())


def table(n=300):
    g = np.random.default_rng(0)
    return pd.DataFrame({"end": g.uniform(1, 2, n), "z": g.uniform(1, 6, n), "x": g.uniform(0, 1, n)})


@pytest.mark.slow
def test_a_rod_is_solved_from_its_equation_alone(learnt):
    asked = table()
    answer = learnt.predict(asked)
    truth = rod(asked.x, asked.z, asked.end)
    assert list(answer.table().columns) == ["u_mean", "u_std", "u_0.05", "u_0.95"]
    assert float(((answer.mean.u - truth) ** 2).sum() / (truth**2).sum()) < 5e-3
    ends = learnt.predict(asked.assign(x=0.0))
    assert np.allclose(ends.mean.u, asked.end, atol=1e-5)
    assert float(abs(learnt.residual(asked)).u.mean()) < 0.1 * float((asked.z * truth).mean())


def sensors(z, end=1.5, n=12, seed=0):
    g = np.random.default_rng(seed)
    x = g.uniform(0, 1, n)
    return pd.DataFrame({"x": x, "u": rod(x, z, end) + g.normal(0, 0.02, n), "end": end})


def test_parameters_are_found_from_sensors(learnt):
    asked = np.linspace(1.5, 5.5, 25)
    many = pd.concat([sensors(z, seed=i).assign(case=i) for i, z in enumerate(asked)])
    found = learnt.infer(many.drop(columns="case"), case=many.case)
    error = found.mean.to_numpy()[:, 0] - asked
    assert list(found.mean.columns) == ["z"]
    assert float(np.mean(error**2)) < 0.2 * 25 / 12
    assert float(np.mean(abs(error) < 2 * found.std.to_numpy()[:, 0])) >= 0.8
    one = learnt.infer(many[many.case == 3].drop(columns="case"))
    assert np.allclose(one.mean.to_numpy(), found.mean.to_numpy()[3], atol=1e-5)
    order = learnt.infer(sensors(4.0).sample(frac=1, random_state=0)[["u", "end", "x"]])
    assert np.allclose(order.mean, learnt.infer(sensors(4.0)).mean, atol=1e-4)


def test_values_that_are_no_field_of_the_family_are_told(learnt):
    wrong = sensors(4.0)
    with pytest.warns(
        OutsideWarning, match="times as far from fields of the family as noise and posterior allow"
    ):
        learnt.infer(wrong.assign(u=wrong.u * 10))
    learnt.infer(wrong)
    with pytest.warns(OutsideWarning, match="had 6 to 20 sensors, got 2; the answer is a guess"):
        learnt.infer(wrong[:2])


@pytest.mark.filterwarnings("ignore::interpolants.foundations.tell.OutsideWarning")
def test_parameters_come_back_in_their_own_units():
    family = NonlinearPoisson(degree=1)
    small = RandomGridProcess(**SMALL, noise=10.0).fit(family)
    told = torch.tensor([[0.5, -0.5]]), torch.tensor([[0.3, 0.1]]), torch.tensor([[[0.4], [0.0]]])
    small.state["posterior"] = lambda where, values, known: told
    rows = torch.tensor([[-0.3, 0.5, 1.5], [0.1, 0.4, 1.5], [0.9, 0.1, 1.5], [0.5, 0.2, 1.5]])
    found = small.infer(rows)
    low, high = (torch.tensor([side[i] for side in family.unknown.values()]).double() for i in (0, 1))
    assert_close(found.mean.reshape(-1).double(), low + torch.tensor([0.75, 0.25]).double() * (high - low))
    spread = torch.tensor([0.5, 0.1]).double()  # 0.3 and 0.4 at a right angle
    assert_close(found.std.reshape(-1).double(), spread * (high - low) / 2)


def test_its_commands_read_a_csv_of_sensors(learnt, tmp_path):
    learnt.save(tmp_path / "m")
    sensors(4.0).to_csv(tmp_path / "sensors.csv", index=False)
    table(3).to_csv(tmp_path / "rows.csv", index=False)
    code = {"problem": Rod()}
    assert torch.equal(
        interpolants.load(tmp_path / "m", **code).infer(torch.tensor(sensors(4.0).to_numpy())).mean,
        learnt.infer(torch.tensor(sensors(4.0).to_numpy())).mean,
    )
    small = RandomGridProcess(**SMALL, noise=10.0).fit(NonlinearPoisson(degree=1))
    small.save(tmp_path / "n")
    (tmp_path / "s.csv").write_text("w,x,u\n1.5,0.1,0.4\n1.5,-0.3,0.5\n1.5,0.9,0.1\n")
    (tmp_path / "q.csv").write_text("x,z0,z1,w\n0.1,0.5,-0.2,1.5\n")
    for verb, file, columns in (("infer", "s.csv", ["z0_mean", "z1_mean"]), ("predict", "q.csv", ["u_mean"])):
        out = tmp_path / f"{verb}.csv"
        done = CliRunner().invoke(app, [verb, str(tmp_path / "n"), str(tmp_path / file), "-o", str(out)])
        assert done.exit_code == 0, done.output
        assert set(columns) <= set(pd.read_csv(out).columns)


# --- settings and refusals --------------------------------------------------------------------------------------------


def test_a_fixed_grid_stays_and_a_random_one_moves():
    family = NonlinearPoisson(dimension=2, degree=1)
    grid = fixed_grid(family, 9)
    assert grid.shape == (9, 2)
    assert grid.abs().max() < 1
    drawn = [FamilyBatches(family, 2, 9, 9, given)(k, generator(0, "t", k), 0, 1)["points"]
             for given in (grid, None) for k in (1, 2)]  # fmt: skip
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[2], drawn[3])
    assert float(drawn[2].abs().max()) <= 1


def test_sensors_in_clusters_stay_in_the_box():
    batch = FamilyBatches(Rod(), 200, 5, 9, clustered=True)(1, generator(0, "t"), 0, 1)
    assert 5 <= batch["points"].shape[1] <= 9
    assert float(batch["points"].min()) >= 0 and float(batch["points"].max()) <= 1  # noqa: PT018
    assert float(batch["points"].std(1).mean()) < 0.95 * 12**-0.5


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sensors": (9, 3)}, "sensors must be"),
        ({"sensor": (1, 2)}, "Did you mean 'sensors'"),
    ],
)
def test_settings_are_refused(settings, words):
    with pytest.raises(InvalidInputError, match=words):
        RandomGridProcess(**settings)


def test_problems_are_refused():
    with pytest.raises(
        InvalidInputError, match="must be a family of boundary-value problems, got LinearDecay"
    ):
        RandomGridProcess(**SMALL).fit(LinearDecay())
    with pytest.raises(InvalidInputError, match="points must be more than the 5 unknown parameters, got 4"):
        RandomGridProcess(**SMALL).fit(NonlinearPoisson())


def test_rows_are_checked(learnt):
    with pytest.raises(
        InvalidInputError, match=r"z must lie in \[1, 6\], where the process was trained, got 7"
    ):
        learnt.predict(table(3).assign(z=7.0))
    with pytest.raises(InvalidInputError, match=r"x must lie in \[0, 1\].* got -0.5"):
        learnt.infer(sensors(4.0).assign(x=-0.5))
    with pytest.raises(InvalidInputError, match="must be finite"):
        learnt.infer(sensors(4.0).assign(u=float("nan")))
    with pytest.raises(InvalidInputError, match="none named 'end'"):
        learnt.infer(sensors(4.0).rename(columns={"end": "ends"}))
    with pytest.raises(InvalidInputError, match=r"columns x, u, end, got \(12, 2\)"):
        learnt.infer(sensors(4.0).to_numpy()[:, :2])
    mixed = sensors(4.0)
    mixed.loc[3, "end"] = 1.2
    with pytest.raises(InvalidInputError, match="known parameters must be the same in all rows of a field"):
        learnt.infer(mixed)


def test_a_row_of_predict_does_not_feel_its_neighbours(learnt):
    rows = torch.tensor(table(70)[["x", "z", "end"]].to_numpy().copy())
    whole = learnt.predict(rows).mean
    for n in (1, 7, 69):
        assert torch.equal(learnt.predict(rows[:n]).mean, whole[:n])


def test_a_covariance_without_digits_is_told_with_what_to_do():
    """Solutions of size 1e-3 ended in LinAlgError."""
    factor = torch.tensor([[1.0, 1.0], [2.0, 2.0], [3.0, 3.1]])
    with pytest.raises(DivergedError, match="units in which u and the residual are of size one"):
        entropy(torch.full((3,), 1e-6) * torch.tensor([1.0, 1.0, 1e6]), factor)
