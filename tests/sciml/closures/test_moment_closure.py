"""Closures against the density of largest entropy, and what is learnt from runs whose closure is known."""

import subprocess
import sys
from functools import cache

import numpy as np
import pytest
import torch
from scipy.special import iv
from torch.testing import assert_close
from typer.testing import CliRunner

from interpolants.cli.app import app
from interpolants.foundations.errors import InvalidInputError
from interpolants.sciml import MomentClosure
from interpolants.sciml.closures.order_closures import OrderFactor, bingham, closed
from interpolants.sciml.closures.pde.active_fluid import PARAMETERS as PARAMETER_NAMES
from interpolants.sciml.closures.pde.active_fluid import (
    ActiveFluid,
    complex_moments,
    real_moments,
    uniform_start,
)
from interpolants.sciml.closures.pde.fourier_box import FourierBox
from interpolants.sciml.closures.problems.active_fluid_runs import ActiveFluidRuns

PARAMETERS = torch.tensor([[-1, 0.8, 0.5, 0.2, 0.05]], dtype=torch.float64)


def uniform_states(count=60):
    """Runs ``(count, 1, 5, 4, 4)`` of ``psi ~ exp(b cos 2 (phi - phi_0))``, any b and phi_0."""
    b = torch.linspace(0.05, 14, count, dtype=torch.float64)
    turn = 0.3 * torch.arange(count, dtype=torch.float64)
    size = [torch.as_tensor(iv(n, b.numpy()) / iv(0, b.numpy())) for n in (1, 2)]
    z = torch.stack([torch.polar(size[0], turn), torch.polar(size[1], 2 * turn)], 1)
    fields = torch.cat(
        [torch.ones(count, 1, dtype=torch.float64), real_moments(z[..., None, None])[..., 0, 0]], 1
    )
    return fields[:, None, :, None, None].expand(-1, 1, -1, 4, 4).contiguous()


def runs(factor=bingham, n=16, frames=21, count=2):
    """Runs of the closed fluid itself, z_2 by its closure."""
    one = ActiveFluid(PARAMETERS.expand(count, -1), FourierBox(n, 10.0))
    start = uniform_start(count, one.box, 1, size=0.3, source=torch.Generator().manual_seed(0))
    found = one.run(
        start,
        end=0.4 * (frames - 1),
        steps=4 * (frames - 1),
        every=4,
        closure=lambda c, z: closed(factor, c, z),
    )
    c, z = complex_moments(found.flatten(0, 1))
    second = real_moments(closed(factor, c, z)[:, None])
    return torch.cat([found, second.reshape(count, frames, 2, n, n)], 2), PARAMETERS.expand(count, -1)


@cache
def short_runs():
    """Two runs of nine frames, of Bingham's closure; their first frames are the shorter runs."""
    return runs(frames=9)


def test_bingham_is_the_density_of_largest_entropy():
    """By quadrature over the angle, from no order to nearly all."""
    phi = torch.pi / 400 * torch.arange(400, dtype=torch.float64)
    b = torch.tensor([0.01, 0.5, 3.0, 20.0, 400.0], dtype=torch.float64)
    psi = torch.exp(b[:, None] * ((2 * phi).cos() - 1))
    first, second = ((psi * (2 * n * phi).cos()).sum(1) / psi.sum(1) for n in (1, 2))
    assert_close(bingham(first.square()), second / first.square(), rtol=0, atol=1e-8)
    assert_close(
        bingham(torch.tensor([0.0, 1.0]).double()), torch.tensor([0.5, 1.0]).double(), rtol=0, atol=1e-10
    )


def test_a_network_never_leaves_what_densities_have():
    s = torch.linspace(0, 1, 201, dtype=torch.float64)
    for seed in range(3):
        factor = OrderFactor(8, seed)
        with torch.no_grad():
            factor.body.layers[-1].weight.mul_(1000)
            found = factor(s)
        assert bool((found[1:] <= 1 / s[1:] + 1e-8).all())
        assert bool((found[1:] >= 2 - 1 / s[1:] - 1e-8).all())


@pytest.mark.slow
def test_uniform_states_teach_bingham():
    """Within 1 % over nearly all orders, and 1/2 where order is weak."""
    fields = uniform_states()
    model = MomentClosure(by="snapshots", steps=3000, width=16, lr=1e-2)
    model.fit(fields, PARAMETERS.expand(len(fields), -1), progress=False)
    r = torch.linspace(0.1, 0.93, 60, dtype=torch.float64)
    assert_close(model.factor(r.square()), bingham(r.square()), rtol=0.01, atol=0)
    weak = torch.tensor([0.1, 0.2, 0.3]).double()
    assert_close(model.factor(weak.square()), torch.full((3,), 0.5).double(), rtol=0.05, atol=0)


@pytest.mark.slow
def test_trajectories_teach_the_closure_that_made_them():
    """From c and z_1 alone: runs with another F come out right, where Bingham's is off."""

    def other(s):
        return 0.9 - 0.1 * s

    fields, parameters = runs(other)
    model = MomentClosure(steps=150, dt=0.1, unroll=4).fit(fields[:, :, :3], parameters, progress=False)
    seen = (fields[:, :, 1:3].square().sum(2)).flatten().quantile(torch.tensor([0.2, 0.95]).double())
    s = torch.linspace(*seen.tolist(), 20, dtype=torch.float64)
    assert float((model.factor(s) - other(s)).abs().max()) < 0.06
    ahead = model.forecast(fields[:, :1], parameters, frames=20)
    known = (
        MomentClosure(closure="bingham")
        .fit(fields, parameters)
        .forecast(fields[:, :1], parameters, frames=20)
    )
    error, rival = ((one - fields[:, 1:, :3]).square().mean().sqrt() for one in (ahead, known))
    assert float(error) < 0.2 * float(rival)


@pytest.mark.slow
def test_a_few_steps_of_training_reduce_the_error():
    fields, parameters = short_runs()
    short = MomentClosure(steps=1, unroll=2, batch_size=2, lr=1e-9).fit(fields, parameters, progress=False)
    model = MomentClosure(steps=40, unroll=2, batch_size=2).fit(fields, parameters, progress=False)
    s = torch.linspace(0.1, 0.4, 7, dtype=torch.float64)
    first, last = (float((one.factor(s) - bingham(s)).abs().mean()) for one in (short, model))
    assert last < 0.5 * first


@pytest.mark.slow
def test_parameters_of_kinetic_runs_are_found_again():
    """From 20 frames and guesses 30 % off, both within 3 %: with the closure of another run, not with Bingham's."""
    problem = ActiveFluidRuns(points=16, moments=8, begin=4, end=11.6, frames=20, translation=0.2, size=0.3)
    train, test = (problem.sample(1, generator=torch.Generator().manual_seed(k)) for k in (0, 1))
    guess = test["parameters"] * torch.tensor([1.3, 1, 0.7, 1, 1]).double()
    model = MomentClosure(by="snapshots", steps=600).fit(**train, progress=False)
    found = model.identify(test["fields"], guess)
    assert_close(found, test["parameters"], rtol=0.03, atol=0)
    assert torch.equal(found[:, [1, 3, 4]], guess[:, [1, 3, 4]])
    known = MomentClosure(closure="bingham").fit(**train).identify(test["fields"], guess)
    assert abs(float(known[0, 2]) / 0.5 - 1) > 0.05


def test_predictions_turn_and_mirror_with_the_frame():
    fields, parameters = short_runs()
    model = MomentClosure(steps=1).fit(fields[:, :6], parameters, progress=False)
    size = torch.linspace(0.1, 1.2, 16).double().expand(16, 16)
    z = torch.polar(size, torch.arange(16).double().expand(16, 16).T.contiguous())
    turn = torch.polar(torch.tensor(1.0).double(), torch.tensor(0.7).double())

    def second(first):
        moments = torch.stack([torch.full((16, 16), 1.3).double(), first.real, first.imag])
        found = model.predict(moments[None, None])[0, 0]
        return torch.complex(found[0], found[1])

    assert_close(second(z * turn), second(z) * turn**2, rtol=0, atol=1e-12)
    assert_close(second(z.conj()), second(z).conj(), rtol=0, atol=1e-12)


def test_a_forecast_goes_on_from_the_last_frame():
    fields, parameters = short_runs()
    model = MomentClosure(closure="bingham").fit(fields, parameters)
    found = model.forecast(fields[:, :5], parameters, frames=4)
    assert_close(found, fields[:, 5:, :3], rtol=0, atol=5e-3)
    assert_close(model.predict(fields.numpy()), fields[:, :, 3:].numpy(), rtol=0, atol=1e-12)


def test_parameters_go_by_their_names_also_after_a_fit_on_arrays(tmp_path, monkeypatch):
    """A table with its columns in another order, from Python and from the command line."""
    pandas = pytest.importorskip("pandas")
    fields, parameters = short_runs()
    fields = fields[:, :3]
    model = MomentClosure(closure="bingham").fit(fields, parameters)
    table = pandas.DataFrame(parameters.numpy(), columns=list(PARAMETER_NAMES))[
        list(reversed(PARAMETER_NAMES))
    ]
    expected = model.forecast(fields, parameters, frames=2)
    assert torch.equal(model.forecast(fields, table, frames=2), expected)
    with pytest.raises(InvalidInputError, match="none named 'zeta'"):
        model.forecast(fields, table.rename(columns={"zeta": "zetta"}), frames=2)
    model.save(tmp_path / "model")
    np.save(tmp_path / "start.npy", fields.numpy())
    table.to_csv(tmp_path / "parameters.csv", index=False)
    asked = ["forecast", "model", "start.npy", "parameters.csv", "--frames", "2", "--out", "ahead.npy"]
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert_close(torch.as_tensor(np.load(tmp_path / "ahead.npy")), expected)


def test_bad_input_is_refused():
    fields, parameters = short_runs()
    fields = fields[:, :6]
    model = MomentClosure(steps=1)
    with pytest.raises(InvalidInputError, match="with an even n"):
        model.fit(fields[..., :15], parameters)
    with pytest.raises(InvalidInputError, match="3 or 5 channels"):
        model.fit(fields[:, :, :2], parameters)
    with pytest.raises(InvalidInputError, match="fields must contain z_2"):
        MomentClosure(by="snapshots").fit(fields[:, :, :3], parameters)
    with pytest.raises(InvalidInputError, match="more than unroll = 9"):
        MomentClosure(unroll=9).fit(fields, parameters)
    with pytest.raises(InvalidInputError, match="mean of c must not change in time"):
        model.fit(torch.cat([fields[:, :3], 2 * fields[:, 3:]], 1), parameters)
    with pytest.raises(InvalidInputError, match="beta must be >= 0"):
        model.fit(fields, -parameters)
    with pytest.raises(InvalidInputError, match=r"\|z_1\| must be at most c"):
        model.fit(torch.cat([fields[:, :, :1], 3 * fields[:, :, 1:]], 2), parameters)
    known = MomentClosure(closure="bingham").fit(fields, parameters)
    with pytest.raises(InvalidInputError, match="unknown must be one of"):
        known.identify(fields, parameters, unknown=["alhpa"])
    with pytest.raises(InvalidInputError, match="must not be 0"):
        known.identify(fields, torch.zeros_like(parameters))


def test_its_verbs_are_known_where_no_other_room_was_imported():
    """In a process of its own: another room declares the same verb."""
    program = """
from interpolants.framework.capabilities import capabilities_of, leading_arguments
from interpolants.sciml.closures.moment_closure import MomentClosure
assert all(leading_arguments(verb)[:1] for verb in capabilities_of(MomentClosure))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-1000:]
